"""How many sequences a model has memory for.

What a sequence's keys and values take is known beforehand: numbers a token, times the tokens that
it may have. A server that promised more places than there is memory for would die with all
answers under way.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

_log = logging.getLogger("headrace.serving")
_PART: Final = 0.7
"""Of the memory that is free, what may be taken; the rest is for calculating and for others."""
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


def fitting(slots: int, bytes_each: int, free: int | None, model_name: str) -> int:
    """At most `slots`, as many as have room for sequences of `bytes_each`; at least one. `free`:
    the bytes that can be had, None where nobody knows.
    """
    if free is None or bytes_each <= 0:
        return slots
    found = max(1, min(slots, int(free * _PART) // bytes_each))
    if found < slots:
        _log.warning(
            "%s gets %d places instead of %d: an answer can take %.1f GB of the %.1f GB of memory "
            "that are free.",
            *(model_name, found, slots, bytes_each / 1e9, free / 1e9),
        )
    return found


def free_memory() -> int | None:
    """Bytes that this process can still get, by the machine and by its container (cgroup v2);
    None where the system does not say.
    """
    limits = [found for found in (_of_machine(), _of_container()) if found is not None]
    return min(limits, default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * 1024
    return None


def _of_container() -> int | None:
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        held = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return max(limit - held, 0)
    return None
