"""Memory that is taken only where it is written to, and that can be given back piece by piece.

The system hands out addresses, and memory for a page of them when something is written there; what
was never written reads as zeros and takes none (mmap(2), MAP_NORESERVE). So rows of keys and values
can have addresses for the longest sequence there may be, and take what their tokens take: nothing
is copied as they grow.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Python names it since 3.13; the number is Linux's."""

Made = TypeVar("Made")


class Reserved:
    """See the module. `buffer` is for arrays and tensors, which keep it alive."""

    def __init__(self, size: int) -> None:
        """`size` bytes of addresses, all zeros. OSError where the system does not grant them."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        self.buffer = mmap.mmap(-1, size, flags=flags)
        self._size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                # Of huge ones a few tokens would take megabytes in each layer.
                self.buffer.madvise(mmap.MADV_NOHUGEPAGE)

    def give_back(self, start: int = 0, end: int | None = None) -> None:
        """What was written from `start` to `end` is over. As far as it fills pages, it takes no
        memory any more, and is zeros again.
        """
        page = mmap.PAGESIZE
        first = -(-start // page) * page
        length = (self._size if end is None else end // page * page) - first
        if length > 0:
            self.buffer.madvise(mmap.MADV_DONTNEED, first, length)


def as_many_as_granted(slots: int, make: Callable[[int], Made]) -> Made:
    """`make(slots)`, or with half as many where the system grants no addresses for so many
    (OSError), as one does that promises no more memory than it has.
    """
    while True:
        try:
            return make(slots)
        except OSError:
            if slots == 1:
                raise
        slots //= 2
