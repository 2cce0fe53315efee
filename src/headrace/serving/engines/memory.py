"""How many sequences a model has memory for.

What a sequence's keys and values take is known: numbers a token, times the tokens that it has. A
server that went on with more answers than there is memory for would die with all of them under way.
"""

from __future__ import annotations

import logging
import math
import mmap
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_log = logging.getLogger("headrace.serving")
_PART: Final = 0.7
"""Of the memory that is free, what may be taken; the rest is for calculating and for others."""
_SMALL: Final = 1 << 20
"""Rows of so few bytes are kept: to take their pages again costs a small model a fifth of the time
of a short answer (45 µs, measured).
"""
_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """Memory for the keys and values of all sequences under way."""

    tokens: float = math.inf
    """For how many tokens it is."""
    overhead: int = 0
    """So many tokens' memory a sequence takes beside that of its own, as pages are taken whole."""

    def needed(self, tokens: int) -> int:
        """What a sequence of so many tokens takes, in tokens."""
        return tokens + self.overhead

    def holds(self, lengths: Iterable[int]) -> bool:
        """Whether there is memory for sequences of so many tokens each."""
        return self.tokens == math.inf or sum(map(self.needed, lengths)) <= self.tokens


@dataclass(frozen=True)
class Layout:
    """How keys and values lie in memory."""

    token_bytes: int
    """What a token takes, in all layers."""
    stretch_bytes: int
    """What it takes in a stretch of memory that holds the tokens of a sequence one by one."""
    copied_bytes: int = 0
    """What is there twice of a token for a moment, where rows are laid out anew as they grow."""

    def gives_back(self, longest: int) -> bool:
        """Whether rows for sequences of so many tokens are large enough that the memory of one that
        is over should be given back.
        """
        return self.token_bytes * longest > _SMALL

    def room(self, free: int | None, slots: int, longest: int, model_name: str) -> Room:
        """Where so many bytes can be had (None: nobody knows), for sequences of `longest` tokens
        at most. A slot without one may still hold a token.
        """
        if free is None or self.token_bytes <= 0:
            return Room()
        overhead = -(-2 * mmap.PAGESIZE // self.stretch_bytes)
        tokens = int(free * _PART / (self.token_bytes + self.copied_bytes))
        room = Room(max(tokens - slots * (1 + overhead), 0), overhead)
        if not room.holds([longest] * slots):
            _log.warning(
                "%s has memory for %d tokens of prompts and answers under way together (%.1f GB "
                "are free), and %d places for up to %d tokens each: where that is not enough, the "
                "answers that began last wait for the others to end.",
                *(model_name, room.tokens, free / 1e9, slots, longest),
            )
        return room


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
        return max(limit - held, 0)
    return None
