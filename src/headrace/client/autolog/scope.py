"""Which calls are the user's own: not those inside an observed call, nor those of a worker.

What runs in an observed call, the steps of a pipeline or the candidates of a search, belongs to
that call. It may run in other threads: joblib's take the mark along (`carry_into_threads`). In
other processes nothing is logged, unless they start a run of their own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_NOT_CALLERS: Final = ("headrace.client.autolog.", "contextlib")


class _Thread(threading.local):
    depth = 0


class _Process:
    """Whether this process is a worker, and the run that its parent had active when it forked."""

    def __init__(self) -> None:
        self.forked = False
        self.inherited_run_id: str | None = None


_thread = _Thread()
_process = _Process()


def inside() -> bool:
    """Whether this thread runs in an observed call."""
    return _thread.depth > 0


@contextmanager
def observing() -> Iterator[None]:
    """Calls in this block belong to the one that is being observed."""
    _thread.depth += 1
    try:
        yield
    finally:
        _thread.depth -= 1


def logs_here(pid: int | None) -> bool:
    """Whether calls in this process are logged, when `pid` is the process that switched it on."""
    if pid == os.getpid():
        return True
    run_id = _active_run_id()
    return run_id is not None and run_id != _process.inherited_run_id


def switching_process() -> int | None:
    """This process, as the one that switches autologging on.

    None in a worker that imports the user's script anew (as multiprocessing's "spawn" does), where
    nobody has called `autolog()` for the worker's sake.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _module_of(frame) == "__mp_main__":
            return None
        frame = frame.f_back
    return os.getpid()


def caller() -> FrameType | None:
    """The frame outside autologging that made the call that is being observed."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and _module_of(frame).startswith(_NOT_CALLERS):
        frame = frame.f_back
    return frame


def called_from(package: str) -> bool:
    """Whether code of `package` made the call that is being observed, so it is not the user's."""
    frame = caller()
    return frame is not None and _module_of(frame).partition(".")[0] == package


def carry_into_threads(items: Iterable[Any]) -> Iterable[Any]:
    """The tasks of a `joblib.Parallel`, which in threads of this process know where they belong."""
    return ((Inside(task[0]), *task[1:]) for task in items) if inside() else items


class Inside:
    """A function that runs as part of an observed call; in a pickle it is the function alone."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with observing():
            return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)

    def __reduce__(self) -> tuple[Any, ...]:
        import operator

        return operator.itemgetter(0), ((self._function,),)


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _active_run_id() -> str | None:
    """The active run of this thread; nothing is loaded to find out that there is none."""
    active = sys.modules.get("headrace.client.active")
    run = None if active is None else active.active_run()
    return None if run is None else str(run.info.run_id)


def _note_fork() -> None:
    _process.forked = True
    _process.inherited_run_id = _active_run_id()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
