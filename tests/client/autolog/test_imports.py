from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from headrace.client.autolog.imports import Hook, forget, when_imported

MakeModule = Callable[[str, str], Path]


class Noted:
    """A hook that notes what it is called with; each is taken away after its test."""

    def __init__(self) -> None:
        self.modules: list[ModuleType] = []
        self.values: list[object] = []
        self.watched: list[tuple[str, Hook]] = []

    def __call__(self, module: ModuleType) -> None:
        self.modules.append(module)
        self.values.append(getattr(module, "VALUE", None))

    def watch(self, name: str, hook: Hook | None = None) -> None:
        self.watched.append((name, hook or self))
        when_imported(name, hook or self)


@pytest.fixture
def noted() -> Iterator[Noted]:
    found = Noted()
    finders = list(sys.meta_path)
    yield found
    for name, hook in found.watched:
        forget(name, hook)
    assert sys.meta_path == finders, "the finder stays where nothing is watched"


def test_a_module_that_is_there_is_hooked_now(noted: Noted) -> None:
    noted.watch("json")
    assert noted.modules == [sys.modules["json"]]


def test_a_module_is_hooked_when_its_code_has_run(noted: Noted, make_module: MakeModule) -> None:
    make_module("later", "VALUE = 1\n")
    noted.watch("later")
    assert not noted.modules
    assert importlib.import_module("later") is noted.modules[0]
    assert noted.values == [1]
    importlib.import_module("later")
    assert noted.values == [1]


def test_the_import_machinery_shows_no_trace(noted: Noted, make_module: MakeModule) -> None:
    make_module("plain", "LOADER = __loader__, __spec__.loader\n")
    noted.watch("plain")
    module = importlib.import_module("plain")
    for loader in (module.__loader__, getattr(module.__spec__, "loader", None), *module.LOADER):
        assert type(loader) is SourceFileLoader


def test_submodules_and_reloads_are_hooked(noted: Noted, make_module: MakeModule) -> None:
    file = make_module("outer.inner", "VALUE = 1\n")
    noted.watch("outer.inner")
    importlib.import_module("outer")
    assert not noted.modules
    module = importlib.import_module("outer.inner")
    file.write_text("VALUE = 'other'\n")
    importlib.reload(module)
    assert noted.values == [1, "other"]


def test_a_builtin_extension_module_is_hooked(
    noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "_bisect", raising=False)
    noted.watch("_bisect")
    assert importlib.import_module("_bisect") in noted.modules


def test_each_hook_runs_and_one_that_fails_breaks_nothing(
    noted: Noted,
    make_module: MakeModule,
    caplog: pytest.LogCaptureFixture,
    failures_warn: None,
) -> None:
    def fail(_module: ModuleType) -> None:
        raise RuntimeError("our own fault")

    make_module("several", "VALUE = 1\n")
    noted.watch("several", fail)
    noted.watch("several")
    noted.watch("several")
    with caplog.at_level(logging.WARNING, "headrace"):
        importlib.import_module("several")
    assert noted.values == [1]
    assert "our own fault" in caplog.text


def test_what_an_import_raises_is_raised(noted: Noted, make_module: MakeModule) -> None:
    make_module("broken", "raise OSError('not today')\n")
    noted.watch("broken")
    noted.watch("no_such_module")
    with pytest.raises(OSError, match="not today"):
        importlib.import_module("broken")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module")
    assert not noted.modules


def test_what_is_forgotten_is_not_called(noted: Noted, make_module: MakeModule) -> None:
    make_module("dropped", "")
    noted.watch("dropped")
    forget("dropped", noted)
    importlib.import_module("dropped")
    assert not noted.modules


def test_an_import_under_way_in_another_thread_is_waited_for(
    noted: Noted, make_module: MakeModule
) -> None:
    make_module(
        "slow",
        "import tests.client.autolog.test_imports as test\n"
        "test.STARTED.set()\ntest.GO_ON.wait(30)\nVALUE = 'done'\n",
    )
    sys.modules["tests.client.autolog.test_imports"] = sys.modules[__name__]
    importing = threading.Thread(target=importlib.import_module, args=["slow"])
    watching = threading.Thread(target=noted.watch, args=["slow"])
    importing.start()
    assert STARTED.wait(30)
    watching.start()
    GO_ON.set()
    importing.join(30)
    watching.join(30)
    assert noted.values
    assert set(noted.values) == {"done"}


STARTED = threading.Event()
GO_ON = threading.Event()
