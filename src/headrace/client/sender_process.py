"""Starting a sender, and waking it: what those who log need to know of it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from headrace.errors import InvalidRequest
from headrace.forks import undivided
from headrace.journal import folder as layout

_HOST: Final = layout.host_name()
LOCK: Final = f"sender-{_HOST}.lock"
_WAKE: Final = f"sender-{_HOST}.wake"
LOG: Final = f"sender-{_HOST}.log"
_LOG_BYTES: Final = 1 << 20
LINGER: Final = 10.0
"""Seconds that a sender stays when there is nothing to do any more."""


class Task(Struct):
    """What a sender is told on its standard input: where to deliver, credentials included."""

    uri: str
    linger: float = LINGER


def is_running(home: Path) -> bool:
    """Whether a folder of journals has a sender."""
    return layout.is_locked(home / LOCK)


def start(folders: Sequence[Path], uri: str) -> None:
    """Start a sender for these folders; it outlives this process. Raises OSError.

    Nothing else than its own modules can come in from the working folder, and its credentials
    appear in no list of processes.
    """
    home = folders[0]
    package = str(Path(layout.__file__).resolve().parents[2])
    search_path = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, *([search_path] if search_path else [])]),
        "PYTHONSAFEPATH": "1",
    }
    with open(home / LOG, "ab", opener=layout.own_file) as log:
        if log.tell() > _LOG_BYTES:
            log.truncate(0)
        # A worker that is forked meanwhile would hold on to the pipes: the sender would wait for
        # the end of its task, and we for the sender, as long as the worker lives.
        with undivided():
            process = subprocess.Popen(  # noqa: S603  (our own module under our own interpreter)
                [
                    sys.executable or "python3",
                    "-m",
                    "headrace.client.sender",
                    *(os.fspath(folder) for folder in folders),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin as told:  # its log says why it died
                told.write(msgspec.json.encode(Task(uri)))
        # It reads its task, leaves a child that nobody waits for, and ends.
        process.wait()


class Wake:
    """The pipe by which others ask a sender to look at once; the sender's end of it."""

    def __init__(self, home: Path) -> None:
        path = home / _WAKE
        self._descriptor = -1
        self.was_poked = False
        with suppress(OSError):  # some file systems have no pipes; then there is the period
            if not path.exists():
                os.mkfifo(path, 0o600)
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, seconds: float) -> None:
        """Return when somebody poked, or after `seconds`."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if ready:
            self.was_poked = True
            with suppress(BlockingIOError):
                os.read(self._descriptor, 65536)

    def poke(self) -> None:
        """Wake whoever waits. From any thread."""
        with suppress(OSError):
            os.write(self._descriptor, b".")

    def close(self) -> None:
        """Let go of the pipe; it stays where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def poke(home: Path) -> None:
    """Wake the sender of a folder, if there is one."""
    with suppress(OSError):
        descriptor = os.open(home / _WAKE, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, b".")
        finally:
            os.close(descriptor)


def read_task() -> Task:
    """What this process is told to do. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"A sender is told on its standard input what to do: {error}"
        ) from None


def detach() -> bool:
    """Go on in a child that belongs to nobody; True in that child."""
    if os.fork():
        return False
    os.setsid()
    return True
