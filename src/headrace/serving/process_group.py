"""A process and those that it has started, which end together.

What a model has started must not live on after its worker, nor keep the worker's socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress


class ProcessGroup:
    """A process that leads a group of its own. Belongs to the event loop that it is made in."""

    def __init__(self, leader: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
        """`ended` is called in the event loop with the leader's status, once all have ended."""
        self.status: int | None = None
        """With which the leader has ended, as `Popen.returncode` has it; None before."""
        self._leader = leader
        self._ended = ended
        loop = asyncio.get_running_loop()
        name = f"worker-{leader.pid}"
        threading.Thread(target=self._await_end, args=(loop,), name=name, daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the leader."""
        return self._leader.pid

    def kill(self) -> None:
        """End all of them now, if the leader has not ended."""
        if self.status is None:
            kill_group(self._leader)

    def _await_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread: wait for the leader, and end what it has started."""
        await_end(self._leader)
        status = end_group(self._leader)
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._note_end, status)

    def _note_end(self, status: int) -> None:
        self.status = status
        self._ended(status)


def await_end(leader: subprocess.Popen[bytes]) -> None:
    """Return when the leader of a group has ended. Where the system allows it, its number is nobody
    else's before `end_group`, so that until then the group can be ended by it.
    """
    if leader.returncode is not None:
        return
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
    else:
        leader.wait()


def end_group(leader: subprocess.Popen[bytes]) -> int:
    """End a group, and what is left of one whose leader has ended; the leader's status."""
    kill_group(leader)
    status = leader.wait()
    close_stdin(leader)
    return status


def close_stdin(leader: subprocess.Popen[bytes]) -> None:
    """Close our end of a worker's stdin, once it has ended: before, that would end it."""
    if leader.stdin is not None:
        leader.stdin.close()


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """Tell all of a group to end now, unless its number may be another's by now."""
    if leader.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)
