"""What a worker asks of the operating system: to end with the server, and to bound its memory.

What a system does not offer is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import select
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Final

_SET_PARENT_DEATH_SIGNAL: Final = 1
_SET_SIGNAL: Final = 10
"""F_SETSIG of Linux's fcntl.h."""
_MORE_DISPENSABLE: Final = 500
_MOST_DISPENSABLE: Final = 1000


def belong_to_parent(connection: socket.socket) -> None:
    """Make this process, and those that the model forks or starts, a part of the server that
    started it: they end with it, even where the model hangs or the server was killed, unless they
    leave this process's group. What the model prints goes to the log, and no child keeps
    `connection`.
    """
    os.set_inheritable(connection.fileno(), False)
    lifeline = _lifeline()
    can_fork = hasattr(os, "register_at_fork")
    if lifeline is None or not _end_group_with(lifeline):
        _end_with_parent()
        if can_fork:
            os.register_at_fork(after_in_child=_end_with_parent)
    if _is_closed(connection.fileno()) or (lifeline is not None and _is_closed(lifeline)):
        sys.exit(0)  # the server ended before we could ask to end with it
    if can_fork:
        os.register_at_fork(after_in_child=connection.close)
    # To stop is for the server, which lets us finish: a signal to all of its processes is not ours.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    os.dup2(2, 1)  # what the model prints goes to the log, line by line
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    with contextlib.suppress(OSError, ValueError):
        # Where memory runs out, better a worker ends, which can be replaced, than the server.
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(int(score.read_text()) + _MORE_DISPENSABLE, _MOST_DISPENSABLE)))


def refuse_memory_beyond(room: int) -> None:
    """Let this process get `room` more bytes of memory at most: beyond that the model's code sees
    a MemoryError, where the system would end a process.
    """
    if sys.platform != "linux":
        return
    import resource

    used = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmData:")
    )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + room if hard == resource.RLIM_INFINITY else min(used + room, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _end_with_parent() -> None:
    """Have the system end this process with the thread that has started it, where that is all that
    can be had: what is forked in a thread that ends soon, ends with that.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _lifeline() -> int | None:
    """A pipe to which the server never writes, and that nobody else has the other end of: it closes
    when the server ends. None where it gave none as stdin, which is empty from now on.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return None
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return pipe


def _end_group_with(pipe: int) -> bool:
    """Have the system end all of this process's group when the other end of a pipe closes; whether
    it will.

    That is not left to this process, which may hang, nor to what `_end_with_parent` asks for, which
    is over with this process alone. The signal goes to the group that is there now (fcntl(2),
    F_SETOWN and F_SETSIG), not to whichever has its number later.
    """
    own = os.getpid()
    if sys.platform != "linux" or os.getpgrp() != own:  # a group that is not only ours
        return False
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -own)
        fcntl.fcntl(pipe, _SET_SIGNAL, signal.SIGKILL)
        flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    except OSError:  # a system that calls itself Linux and has not all of it
        return False
    return True


def _is_closed(descriptor: int) -> bool:
    """Whether the other end is gone, though what it has sent may not be read yet."""
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is told unasked
    return bool(poll.poll(0))


def _ignore(_number: int, _frame: object) -> None:
    """A function, as programs that the model starts would inherit SIG_IGN."""
