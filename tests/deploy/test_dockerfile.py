"""Dockerfiles for models: what is in them, and what they refuse to hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.deploy.context import write_context
from headrace.deploy.image import plan_image
from headrace.errors import AlreadyExists, InvalidModel, InvalidRequest, NotFound, NotTrusted
from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder
from headrace.models.trust.signers import add_signer
from tests.deploy.dockerfile_steps import instructions

Context = Callable[..., Path]
SCRIPT = """
from headrace.models import set_model

def doubled(model_input):
    return model_input * 2

set_model(doubled)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "doubled.py").write_text(SCRIPT)
    pyfunc.save_model(
        tmp_path / "churn",
        python_model=str(tmp_path / "doubled.py"),
        pip_requirements=["six==1.17.0"],
        input_example=pd.DataFrame({"a": [1.0]}),
    )
    return tmp_path / "churn"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    def write(model: Path | None, **options: Any) -> Path:
        write_context(plan_image(model, **options), tmp_path / "image")
        return tmp_path / "image"

    return write


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`stranger(folder)` signs a model with a key that nobody trusts."""

    def sign(folder: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_KEYS", str(tmp_path / "strangers-keys"))
            assert sign_folder(folder)

    return sign


def said(folder: Path, word: str) -> list[str]:
    text = (folder / "Dockerfile").read_text()
    return [rest for found, rest in instructions(text) if found == word]


def names(folder: Path) -> list[str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return sorted(each.relative_to(folder).as_posix() for each in files)


def test_the_model_and_all_that_it_needs_are_beside_the_dockerfile(
    model: Path, context: Context
) -> None:
    (model / "not-signed.txt").write_text("no part of the model")
    folder = context(model)

    assert names(folder / "model") == sorted({*names(model)} - {"not-signed.txt"})
    assert open_folder(folder / "model").is_trusted
    lines = (folder / "requirements" / "requirements.txt").read_text().splitlines()
    assert lines == ["six==1.17.0", "cloudpickle", "numpy", "pandas"]
    assert (folder / "model" / "MLmodel").stat().st_mode & 0o777 == 0o644
    assert (folder / "model").stat().st_mode & 0o777 == 0o755


def test_it_runs_as_nobody_with_a_check_and_takes_signals(model: Path, context: Context) -> None:
    folder = context(model)

    assert said(folder, "USER") == ["10001:10001"]
    assert '"http.client' not in said(folder, "HEALTHCHECK")[0]
    assert "/ping" in said(folder, "HEALTHCHECK")[0]
    [entry] = said(folder, "ENTRYPOINT")
    assert entry.startswith('["/opt/headrace/bin/headrace", "models", "serve", "-m", "churn=/opt/')
    assert "--trust" not in entry
    copied = said(folder, "COPY")
    assert copied.index("requirements/ ./") < copied.index("model /opt/ml/model")


def test_of_the_addresses_and_passwords_of_indexes_nothing_is_written(
    model: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "https://me:geheim@wheels.example.org/simple")
    folder = context(model)

    for each in names(folder):
        data = (folder / each).read_bytes()
        assert b"geheim" not in data, each
        assert b"wheels.example.org" not in data, each
        if not each.endswith(".whl"):
            assert str(model).encode() not in data.replace(b"model_code_path", b""), each


def test_who_signed_the_model_is_trusted_in_the_image_only_if_trusted_here(
    model: Path,
    context: Context,
    stranger: Callable[[Path], None],
    monkeypatch: Any,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "own-keys"))
    stranger(model)
    with pytest.raises(NotTrusted, match="whom you do not trust"):
        context(model)

    folder = context(model, trust=True)
    assert '"--trust"' in said(folder, "ENTRYPOINT")[0]
    assert "ed25519:" not in (folder / "trusted_signers").read_text()

    key = open_folder(model).signer_key
    assert key is not None
    add_signer("Ada of the team", key)
    folder = context(model)
    assert '"--trust"' not in said(folder, "ENTRYPOINT")[0]
    [line] = (folder / "trusted_signers").read_text().splitlines()[1:]
    assert line.startswith(f"{key.text} ")
    assert line.endswith(" Ada of the team")
    monkeypatch.setenv("HEADRACE_KEYS", str(folder))
    assert open_folder(folder / "model").is_trusted


def test_a_model_that_was_changed_or_is_unsigned_is_refused(model: Path, context: Context) -> None:
    script = model / "doubled.py"
    script.write_text(script.read_text() + "\n")
    with pytest.raises(InvalidModel, match=r"'doubled\.py' has been changed"):
        context(model, trust=True)
    (model / SIGNATURE_FILE).unlink()
    with pytest.raises(NotTrusted, match="nobody has signed"):
        context(model)
    with pytest.raises(NotFound):
        context(model / "nothing")


def test_a_model_to_be_mounted_leaves_its_environment_and_signer(
    model: Path, context: Context
) -> None:
    folder = context(model, mount=True)

    assert not (folder / "model").exists()
    assert "ed25519:" in (folder / "trusted_signers").read_text()
    assert "--python" in said(folder, "ENTRYPOINT")[0]
    assert [each for each in said(folder, "COPY") if each.startswith("model")] == []


def test_an_image_for_any_model_makes_the_environment_when_it_starts(context: Context) -> None:
    folder = context(None)

    assert not (folder / "requirements").exists()
    assert '"--env-manager", "uv"' in said(folder, "ENTRYPOINT")[0]
    assert "ed25519:" not in (folder / "trusted_signers").read_text()


def test_wheels_inside_the_model_go_along(model: Path, context: Context) -> None:
    (model / "wheels").mkdir()
    (model / "wheels" / "own-1-py3-none-any.whl").write_bytes(b"a wheel")
    (model / "requirements.txt").write_text("./wheels/own-1-py3-none-any.whl\nlightgbm==4.6.0\n")
    sign_folder(model)
    folder = context(model)

    first = (folder / "requirements" / "requirements.txt").read_text().splitlines()[0]
    assert first == "./files/wheels/own-1-py3-none-any.whl"
    assert (folder / "requirements" / first).read_bytes() == b"a wheel"
    assert any("install -y --no-install-recommends libgomp1" in e for e in said(folder, "RUN"))


def test_a_folder_with_something_else_is_left_alone(model: Path, context: Context) -> None:
    folder = context(model)
    (folder / "model" / "left.txt").write_text("from before")
    context(model)
    assert not (folder / "model" / "left.txt").exists()

    (folder / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(AlreadyExists, match="holds no Dockerfile of Headrace's"):
        context(model)


@pytest.mark.parametrize("image", ["", "a b", "x\nRUN evil", "-x"])
def test_what_is_no_base_image_is_refused(model: Path, context: Context, image: str) -> None:
    with pytest.raises(InvalidRequest, match="names no image"):
        context(model, base_image=image)


def test_a_python_that_headrace_does_not_run_on_is_refused(model: Path, context: Context) -> None:
    (model / "python_env.yaml").write_text("python: 3.9.2\ndependencies: [-r requirements.txt]\n")
    sign_folder(model)
    with pytest.raises(InvalidRequest, match=r"asks for Python 3\.9"):
        context(model)
