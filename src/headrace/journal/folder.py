"""What lies where in a journal, and who is alive.

    <journal>/<writer>/alive       locked by the process that writes this log, as long as it lives
    <journal>/<writer>/claimed     locked by whoever reads it: one reader at a time
    <journal>/<writer>/progress    the position up to which it has been dealt with
    <journal>/<writer>/*.segment   the log

A lock is the system's own (`flock`): it ends with its process, however that ends. It also belongs
to whoever has a copy of the descriptor, so a forked child lets go of its copies at once.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.forks import undivided

FOREIGN_SECONDS: Final = 120.0
"""How long another machine's log must lie untouched before it is read here."""
ALIVE: Final = "alive"
CLAIMED: Final = "claimed"
PROGRESS: Final = "progress"
_PAGE: Final = 64


def host_name() -> str:
    """This machine's name, as part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:40]


def new_writer_name() -> str:
    """A name that no other process has: host, process, chance."""
    return f"{host_name()}-{os.getpid()}-{secrets.token_hex(4)}"


def may_be_read_here(log: Path) -> bool:
    """Whether a log is this machine's, or one of another's that nobody has touched for a while.

    On a disk that machines share, one does not see at once what another writes to a mapped file,
    and could take a log for finished that is not.
    """
    if log.name.rsplit("-", 2)[0] == host_name():
        return True
    try:
        touched = max(entry.stat().st_mtime for entry in os.scandir(log))
    except (OSError, ValueError):
        return False
    return time.time() - touched > FOREIGN_SECONDS


def writers(journal: Path) -> list[Path]:
    """The folders of all logs in a journal, by name; none where there is no journal."""
    try:
        with os.scandir(journal) as entries:
            found = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(folder for folder in found if (folder / PROGRESS).exists())


def own_file(path: str, flags: int) -> int:
    """Open a file that, if it is made, its owner alone can read: an opener for `open`."""
    return os.open(path, flags, 0o600)


class Lock:
    """A file that one process at a time holds locked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Hold the lock from now on; False when another process has it. Raises OSError."""
        if self._descriptor >= 0:
            return True
        with undivided():
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            _taken.add(self)
        return True

    @property
    def is_held(self) -> bool:
        """Whether it is held, and by the file that others will find: somebody may have removed it
        since, with its folder, and begun anew.
        """
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False

    def release(self) -> None:
        """Let go. In a forked child this leaves the parent's lock as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_taken: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in list(_taken):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock `path`; False when there is no such file."""
    with undivided():
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
    return False


class Progress:
    """The position up to which a log has been dealt with, shared by its writer and its reader.

    One aligned 64-bit number in a mapped file: the processor reads and writes it whole.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        descriptor = os.open(folder / PROGRESS, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
        try:
            if create or os.fstat(descriptor).st_size < _PAGE:
                # A power cut can leave it empty; then everything is sent again, which is harmless.
                os.pwrite(descriptor, bytes(_PAGE), 0)
            self._map = mmap.mmap(descriptor, _PAGE)
        finally:
            os.close(descriptor)
        self._slots = memoryview(self._map).cast("Q")

    @property
    def position(self) -> int:
        """Everything before this position has been dealt with."""
        return int(self._slots[0])

    @position.setter
    def position(self, value: int) -> None:
        self._slots[0] = value

    def close(self) -> None:
        """Let go of the file."""
        self._slots.release()
        self._map.close()


def remove(folder: Path) -> None:
    """Remove the folder of a log with all in it; what cannot be removed stays."""
    for below, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = os.path.join(below, name)
            is_folder = name in folders and not os.path.islink(path)
            with suppress(OSError):
                os.rmdir(path) if is_folder else os.unlink(path)
    with suppress(OSError):
        folder.rmdir()


def size_of(journal: Path) -> int:
    """Bytes of all logs in a journal, without what lies beside them; 0 where there is none."""
    total = 0
    for log in writers(journal):
        with suppress(OSError):  # one was dealt with meanwhile
            total += sum(path.stat().st_size for path in segment_files(log, ".segment"))
    return total


def segment_files(folder: Path, suffix: str) -> Iterator[Path]:
    """The segments of a log, first to last."""
    yield from sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
