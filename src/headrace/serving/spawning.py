"""Starting the process of a worker, also before it is known what it is to load.

Importing a model's libraries takes longer than all else that a server does at its start. So the
first worker is started as soon as its interpreter is known, and imports them while the server
imports its own and checks the model. It learns no more of the model than the names of its flavors,
and imports what `worker.preparing` lists for these; a model that is refused has had no part in it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from headrace.serving.process_group import end_group
from headrace.serving.worker import boot
from headrace.serving.worker.frames import pack
from headrace.serving.worker.preparing import LIBRARIES

PROGRAM: Final = (boot.__file__, "headrace.serving.worker.main")
"""What the interpreter runs, before the number of the socket."""
_NOT_PASSED: Final = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"))
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""What libraries read the number of their threads from."""
_MODEL_FILE: Final = "MLmodel"
_MOST_READ: Final = 1 << 20


class Spawned(NamedTuple):
    """A worker that runs, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket


def spawn(
    python: Path,
    threads: int | None = None,
    variables: Mapping[str, str] | None = None,
    program: tuple[str, ...] = PROGRAM,
) -> Spawned:
    """Start a worker, to calculate with `threads`, with `variables` beside the server's own.

    It ends with this process, or when its stdin is closed here. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            # -I: nothing but the interpreter's own packages, not even the working folder.
            process = subprocess.Popen(  # noqa: S603 - no shell
                [str(python), "-I", *program, str(theirs.fileno())],
                stdin=subprocess.PIPE,  # see `worker.process`
                env={**_environment(threads), **(variables or {})},
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        except OSError:
            ours.close()
            raise
    return Spawned(process, ours)


class Reserve:
    """At most one worker that was started ahead, until somebody takes it or the block ends."""

    def __init__(self) -> None:
        self._python: Path | None = None
        self._threads: int | None = None
        self._spawned: Spawned | None = None

    def start(self, python: Path, threads: int | None = None) -> None:
        """Start a worker as `spawn` does; where that is not possible, whoever needs one will say
        so.
        """
        with suppress(OSError):
            self._python, self._threads = python, threads
            self._spawned = spawn(python, threads)
            self._tell([])

    def prepare(self, folder: Path) -> None:
        """Have it import the libraries of the model in a folder, which need not be one."""
        if flavors := flavors_in(folder):
            self._tell(flavors)

    def take(self, python: Path, threads: int | None = None) -> Spawned | None:
        """The worker, which is the caller's from now on; one that is unlike what is wanted is
        ended.
        """
        spawned, self._spawned = self._spawned, None
        if spawned is not None and (python, threads) != (self._python, self._threads):
            _end(spawned)
            return None
        return spawned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        spawned, self._spawned = self._spawned, None
        if spawned is not None:
            _end(spawned)

    def _tell(self, flavors: list[str]) -> None:
        if self._spawned is not None:
            with suppress(OSError):  # it has ended: whoever takes it finds out, and why
                for piece in pack({"op": "prepare", "flavors": flavors}):
                    self._spawned.connection.sendall(piece)


def flavors_in(folder: Path) -> list[str]:
    """Names that `LIBRARIES` has and the `MLmodel` in `folder` seems to: a guess, without parsing
    or checking it. Empty where it cannot be read.
    """
    file = folder / _MODEL_FILE
    try:
        if not file.is_file():
            return []
        with file.open("rb") as opened:
            text = opened.read(_MOST_READ).decode(errors="replace")
    except (OSError, ValueError):
        return []
    return [name for name in LIBRARIES if f"\n  {name}:" in text]


def _environment(threads: int | None) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    if threads:
        found.update(dict.fromkeys(_THREADS, str(threads)))
    return found


def _end(spawned: Spawned) -> None:
    spawned.connection.close()
    end_group(spawned.process)
