"""A model that does what its rows say, good or bad: the script that `models.save_unruly` saves.

Each row has a text `do` and a number `value`; its answer is a text.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from headrace.models import set_model
from headrace.pyfunc import PythonModel

_FOREVER: Final = 3600
_kept: list[Any] = []


class Stop(BaseException):
    """What a library may raise that nobody expects."""


class Unruly(PythonModel):
    """See the module. `model_config`: `load` says what it does while it is loaded, `seconds` how
    long that takes, and it fails only while the file `state` exists, where one is named; `note`
    writes into the file `notes`; `each_call` are seconds that a prediction takes beside its rows.
    """

    _each_call = 0.0

    def load_context(self, context: Any) -> None:
        """Load, or do what the configuration says instead."""
        config = context.model_config
        _kept.append(config.get("notes"))
        self._each_call = config.get("each_call", 0.0)
        time.sleep(config.get("seconds", 0))
        state = config.get("state")
        if config.get("load") and (state is None or Path(state).exists()):
            _DEEDS[config["load"]](0.0)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:
        """What came of each row."""
        time.sleep(self._each_call)
        rows = zip(model_input["do"], model_input["value"], strict=True)
        return [_DEEDS[do](value, len(model_input)) for do, value in rows]


def _deed(function: Callable[[float], Any]) -> Callable[..., str]:
    return lambda value, _rows=1: str(function(value))


def _raise(error: BaseException) -> Callable[..., str]:
    def deed(_value: float, _rows: int = 1) -> str:
        raise error

    return deed


def _bellow(length: float) -> None:
    raise ValueError("z" * int(length) + "\nthe end")


def _hang(_value: float) -> None:
    ctypes.PyDLL(None).sleep(_FOREVER)  # holds the interpreter, as a library in C may


def _allocate(megabytes: float) -> int:
    return int(np.ones(int(megabytes * (1 << 20) / 8)).sum() > 0)


def _leak(megabytes: float) -> int:
    _kept.append(np.ones(int(megabytes * (1 << 20) / 8)))
    return os.getpid()


def _note(value: float) -> None:
    with Path(_kept[0]).open("a") as file:
        file.write(f"{value}\n")


def _print(value: float) -> None:
    print("printed", value)  # noqa: T201 - what models do
    os.write(1, b"written to the descriptor\n")


def _fork(_value: float) -> int:
    """A child that keeps all that it inherits."""
    child = os.fork()
    if child == 0:
        time.sleep(_FOREVER)
        os._exit(0)
    return child


def _fork_in_thread(_value: float) -> str:
    """What a child says once the thread that has forked it is over."""
    (heard, tells), (told, says) = os.pipe(), os.pipe()

    def fork() -> None:
        if os.fork() == 0:
            os.close(tells)
            os.write(says, b"!")
            os.write(says, os.read(heard, 9))
            os._exit(0)
        os.read(told, 1)  # it is under way

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    while Path(f"/proc/self/task/{thread.native_id}").exists():
        time.sleep(0.001)
    os.close(heard)
    os.close(says)
    with suppress(BrokenPipeError):
        os.write(tells, b"alive")
    os.close(tells)
    with open(told, "rb") as answer:
        return answer.read().decode()


def _spawn(_value: float) -> int:
    """A program that keeps all that it inherits."""
    words = [sys.executable, "-c", f"import time; time.sleep({_FOREVER})"]
    return subprocess.Popen(words, close_fds=False).pid


_DEEDS: Final[dict[str, Callable[..., str]]] = {
    "echo": _deed(lambda value: value),
    "rows": lambda _value, rows=1: str(rows),
    "pid": _deed(lambda _: os.getpid()),
    "raise": _raise(ValueError("the secret of row 7")),
    "bellow": _deed(_bellow),
    "sys_exit": _raise(SystemExit(3)),
    "interrupt": _raise(KeyboardInterrupt()),
    "stop": _raise(Stop("at once")),
    "exit": _deed(lambda _: os._exit(5)),
    "segfault": _deed(lambda _: ctypes.string_at(0)),
    "kill": _deed(lambda _: os.kill(os.getpid(), signal.SIGKILL)),
    "hang": _deed(_hang),
    "slow": _deed(time.sleep),
    "allocate": _deed(_allocate),
    "leak": _deed(_leak),
    "long": _deed(lambda value: "x" * int(value)),
    "note": _deed(_note),
    "print": _deed(_print),
    "fork": _deed(_fork),
    "fork_in_thread": _deed(_fork_in_thread),
    "spawn": _deed(_spawn),
}

set_model(Unruly())
