"""Small models, folders of keys, and other people who sign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.models.trust import sign_folder
from headrace.models.trust.keys import PublicKey
from headrace.models.trust.own_key import signing_key

FILES = {
    "MLmodel": b"flavors: {}\n",
    "model.pkl": b"not really a pickle",
    "weights/part-1.safetensors": b"1" * 5000,
    "weights/part-2.safetensors": b"2" * 5000,
    "code/shipped/__init__.py": b"ANSWER = 42\n",
    "code/shipped/more.py": b"MORE = 43\n",
}


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's folder of keys; empty, and not there yet."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("HEADRACE_KEYS", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder with `FILES`, not signed."""
    return make_model(tmp_path / "model")


@pytest.fixture
def signed(model: Path) -> Path:
    """A model's folder, signed with the own key."""
    assert sign_folder(model)
    return model


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], PublicKey]:
    """`stranger(folder)` signs it with somebody else's key, and gives back that key."""

    def sign_as_stranger(folder: Path) -> PublicKey:
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_KEYS", str(tmp_path / "strangers-keys"))
            assert sign_folder(folder)
            return signing_key().public

    return sign_as_stranger


def make_model(folder: Path) -> Path:
    """Write `FILES` into a new folder."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
