"""What every test of autologging needs: failures that raise, and nothing left switched on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import headrace
from headrace.client.autolog import autolog
from headrace.client.entities import Run


@pytest.fixture(autouse=True)
def failures_raise(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What fails in autologging fails the test; afterwards everything is taken back."""
    monkeypatch.setenv("HEADRACE_AUTOLOGGING_TESTING", "true")
    yield
    autolog(disable=True)


@pytest.fixture
def failures_warn(failures_raise: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in autologging is a warning, as it is for users."""
    monkeypatch.delenv("HEADRACE_AUTOLOGGING_TESTING")


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`make_module("boost.training", "source")` makes a module that can be imported, once."""
    root = tmp_path / "modules"
    root.mkdir()
    monkeypatch.syspath_prepend(root)
    made: list[str] = []

    def make(name: str, source: str) -> Path:
        made.append(name)
        *parents, last = name.split(".")
        folder = root
        for parent in parents:
            folder /= parent
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
            made.append(parent)
        file = folder / f"{last}.py"
        file.write_text(source)
        return file

    yield make
    for name in made:
        sys.modules.pop(name, None)


def runs() -> list[Run]:
    """All runs of the experiment that is set, the oldest first."""
    return list(reversed(headrace.search_runs(output_format="list")))


def only_run() -> Run:
    """The one run that there is."""
    (run,) = runs()
    return run


def artifacts(run: Run) -> set[str]:
    """The names of a run's files and folders."""
    return {file.path for file in headrace.Client().list_artifacts(run.info.run_id)}


def imported(name: str) -> ModuleType:
    """The module `name`, imported now."""
    return __import__(name, fromlist=["_"])
