"""Somebody whom nobody trusts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.models.trust import sign_folder


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`stranger(folder)` signs a model with a key that nobody trusts."""

    def sign(folder: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_KEYS", str(tmp_path / "strangers-keys"))
            assert sign_folder(folder)

    return sign
