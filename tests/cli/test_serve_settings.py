"""`headrace models serve`: what it is told by variables and options, and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Headrace
from tests.serving.models import save_unruly


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON: "), ("[1]", "is no JSON object"), ("1", "is no JSON object")],
)
def test_a_configuration_that_is_no_object_is_refused(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("SERVING_MODEL_CONFIG", text)
    ran = headrace("models", "serve", "-m", "model")
    assert ran.code == 2
    assert f"SERVING_MODEL_CONFIG {said}" in ran.err


def test_workers_are_counted_as_mlflow_has_them_counted(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_MODELS_WORKERS", "many")
    ran = headrace("models", "serve", "-m", "model")
    assert ran.code == 2
    assert "'many' is not a valid integer range" in ran.err


def test_a_python_that_is_not_there_is_refused(headrace: Headrace, tmp_path: Path) -> None:
    ran = headrace("models", "serve", "-m", "model", "--python", str(tmp_path / "python"))
    assert ran.code == 2
    assert "does not exist" in ran.err


def test_a_model_that_loads_for_too_long_is_refused(headrace: Headrace, tmp_path: Path) -> None:
    folder = save_unruly(tmp_path / "unruly")
    here = ("--port", "0", "--env-manager", "local", "--load-timeout", "0.001")
    ran = headrace("models", "serve", "-m", str(folder), *here)
    assert ran.code == 4
    assert "not loaded within 0.001 seconds; expected less, or a larger --load-timeout" in ran.err
