"""How much memory this process can still get, by all who have a say in that."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


class _Process:
    most: int | None = None


_process: Final = _Process()


def count_on(most: int) -> None:
    """From now on `free_memory` counts on no more than `most` bytes for this whole process, those
    that it holds already included.
    """
    _process.most = most


def held_memory() -> int | None:
    """Bytes of memory that this process holds; None where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        return None


def free_memory() -> int | None:
    """Bytes that this process can still get, by the machine, by its container (cgroup v2) and by
    what it was told; None where nobody says.
    """
    limits = (_of_machine(), _of_container(), _of_process())
    return min((found for found in limits if found is not None), default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * 1024
    return None


def _of_process() -> int | None:
    held = held_memory()
    if _process.most is None or held is None:
        return None
    return max(_process.most - held, 0)


def _of_container() -> int | None:
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        held = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return max(limit - held + _dispensable(), 0)
    return None


def _dispensable() -> int:
    """Bytes that the container holds of files nobody has looked at for long, which it gives up when
    it needs memory: without them, reading files alone would use up the container in time.
    """
    for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return int(value)
    return 0
