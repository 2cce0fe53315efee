"""The lock of the project that a model is saved in."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from headrace.models.environment import write_environment
from tests.models.environment.conftest import put

FILES = {"uv.lock": "version = 1\n", "pyproject.toml": "[project]\n", ".python-version": "3.11\n"}


def saved_in(folder: Path, monkeypatch: pytest.MonkeyPatch, target: Path) -> set[str]:
    """The files of a project that are kept with a model saved in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    target.mkdir()
    write_environment(target)
    return {path.name for path in target.iterdir()} & set(FILES)


def test_of_the_checkout_that_one_works_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = put(tmp_path / "project", FILES)
    (project / ".git").mkdir()

    kept = saved_in(project / "notebooks" / "deep", monkeypatch, tmp_path / "model")

    assert kept == set(FILES)
    assert (tmp_path / "model" / "uv.lock").read_text() == FILES["uv.lock"]


def test_not_of_a_folder_above_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, FILES)
    (tmp_path / "project" / ".git").mkdir(parents=True)

    assert saved_in(tmp_path / "project", monkeypatch, tmp_path / "model") == set()


def test_outside_a_checkout_only_of_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "project", FILES)

    assert saved_in(tmp_path / "project", monkeypatch, tmp_path / "one") == set(FILES)
    assert saved_in(tmp_path / "project" / "sub", monkeypatch, tmp_path / "two") == set()


def test_a_project_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "project", {"pyproject.toml": ""})

    assert saved_in(tmp_path / "project", monkeypatch, tmp_path / "model") == set()


@pytest.mark.parametrize("name", ["MLFLOW_UV_AUTO_DETECT", "HEADRACE_LOG_UV_FILES"])
def test_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put(tmp_path / "project", FILES)
    monkeypatch.setenv(name, "false")

    assert saved_in(tmp_path / "project", monkeypatch, tmp_path / "model") == set()


def test_not_with_a_password_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = '[[tool.uv.index]]\nurl = "https://me:hunter2@host.example/simple"\n'
    put(tmp_path / "project", {**FILES, "pyproject.toml": secret})

    with caplog.at_level(logging.WARNING, "headrace"):
        kept = saved_in(tmp_path / "project", monkeypatch, tmp_path / "model")

    assert kept == set()
    assert "password" in caplog.text
    assert "hunter2" not in caplog.text
