"""How many tokens a model has memory for.

What a sequence's keys and values take is known: numbers a token, times the tokens that it has. A
server that went on with more answers than there is memory for would die with all of them under way.
Other workers and programs take memory, too, and at any time. So what is free is looked at again and
again while answers are made, and each counts on a part of what the others leave: where several
workers want more than there is, they come to have the same.
"""

from __future__ import annotations

import logging
import math
import mmap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

_log = logging.getLogger("headrace.serving")
_PART: Final = 0.7
"""Of the memory that the others leave, what may be taken; the rest is for calculating and for them.
"""
_SMALL: Final = 1 << 20
"""Rows of so few bytes are kept: to take their pages again costs a small model a fifth of the time
of a short answer (45 µs, measured).
"""
_LOOK_EVERY: Final = 0.1
"""Seconds. A look takes 50 µs, and a step of the smallest models 600."""
FreeMemory = Callable[[], int | None]
"""The bytes that can be had; None where nobody knows."""


@dataclass
class Room:
    """Memory for the keys and values of all sequences under way."""

    tokens: float = math.inf
    """For how many tokens it is."""
    overhead: int = 0
    """So many tokens' memory a sequence takes beside that of its own, as pages are taken whole."""
    found: Callable[[int], float] | None = None
    """For how many tokens it is now, where those under way hold so many; None: that never changes.
    """
    _due: float = 0.0

    def needed(self, tokens: int) -> int:
        """What a sequence of so many tokens takes, in tokens."""
        return tokens + self.overhead

    def holds(self, lengths: Iterable[int]) -> bool:
        """Whether there is memory for sequences of so many tokens each."""
        return self.tokens == math.inf or sum(map(self.needed, lengths)) <= self.tokens

    def look(self, lengths: Iterable[int]) -> None:
        """Find out what there is now, if the last look was a while ago; sequences that hold so many
        tokens are under way.
        """
        if self.found is None:
            return
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _LOOK_EVERY
            self.tokens = self.found(sum(lengths))


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

    def room(self, free: FreeMemory, slots: int, longest: int, model_name: str) -> Room:
        """In the memory that is free, for sequences of `longest` tokens at most. A slot without one
        may still hold a token.
        """
        there = free()
        if there is None or self.token_bytes <= 0:
            return Room()
        overhead = -(-2 * mmap.PAGESIZE // self.stretch_bytes)

        def found(held: int) -> float:
            now = free()
            if now is None:
                return math.inf
            left = (now + held * self.token_bytes) * _PART  # by the others
            tokens = int(left / (self.token_bytes + self.copied_bytes))
            return max(tokens - slots * (1 + overhead), 0)

        room = Room(found(0), overhead, found)
        if not room.holds([longest] * slots):
            _log.warning(
                "%s has memory for %d tokens of prompts and answers under way together (%.1f GB "
                "are free, for all workers), and %d places for up to %d tokens each: where that is "
                "not enough, the answers that began last wait for the others to end.",
                *(model_name, room.tokens, there / 1e9, slots, longest),
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
