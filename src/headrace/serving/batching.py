"""How many requests are predicted together, and how long the first of them waits for the others.

A worker that is free gets what has come meanwhile. Where many callers ask, each again as soon as it
was answered, that alone would settle at batches of one and of all others in turn, and a batch of
one costs nearly as much as a large one. So for a moment after a batch was answered a worker waits
until its share of the callers is back: with one worker half of them, which are predicted while the
server reads what the other half asks. Who asks alone never waits.
"""

from __future__ import annotations

import math
from typing import Final

_MEMORY: Final = 0.2
"""How much of the newest observation goes into an average."""
_SLOW: Final = 1 / 16
"""The part of the time limit that a batch should not exceed: one that hangs is noticed late."""
_PATIENCE: Final = 0.75
"""The part of a batch's time that a worker waits at most."""
_LONGEST_WAIT: Final = 0.005
_TELLING: Final = 0.5
"""The part of the time limit up to which an average tells whether an answer will come in time."""


class BatchPolicy:
    """Learns from what it sees; belongs to one model version."""

    def __init__(self, max_batch: int, timeout: float) -> None:
        """`timeout`: seconds that a request may take."""
        self.size = max_batch
        """Requests in a batch at most."""
        self.sizes: dict[int, int] = {}
        """How often a batch had so many requests."""
        self.seconds_each = 0.0
        """That a request takes of a worker, on average."""
        self._max_batch = max_batch
        self._slow = timeout * _SLOW
        self._telling = timeout * _TELLING
        self._seconds = 0.0
        self._share = 0
        self._until = 0.0

    def observe(self, size: int, seconds: float) -> None:
        """A batch of `size` requests was predicted in `seconds`."""
        self.sizes[size] = self.sizes.get(size, 0) + 1
        weight = _MEMORY if self.seconds_each else 1.0  # from the first on, it tells what is usual
        self.seconds_each += weight * (seconds / size - self.seconds_each)
        self._seconds += _MEMORY * (seconds - self._seconds)
        if seconds > self._slow:
            self.size = max(1, min(self.size, size) // 2)
        elif size == self.size < self._max_batch:
            self.size += 1

    def expect(self, callers: int, workers: int, now: float) -> None:
        """At the time `now`, so many callers have just been answered, or wait for it."""
        self._share = min(self.size, math.ceil(callers / (workers + 1)))
        self._until = now + min(self._seconds * _PATIENCE, _LONGEST_WAIT)

    def wait(self, queued: int, now: float) -> float:
        """Seconds that a free worker should wait for more than the `queued` requests; 0: none."""
        return 0.0 if queued >= self._share else max(0.0, self._until - now)

    def is_too_late(self, left: float) -> bool:
        """Whether a request that has `left` seconds until its limit would most likely be answered
        after it. Never where it has all of its time, so that there is always something to learn.
        """
        return left < self._seconds <= self._telling

    def seconds_until_room(self, queued: int, workers: int) -> int:
        """Whole seconds, at least 1, after which half of what is queued will be answered."""
        return max(1, math.ceil(queued / 2 * self.seconds_each / max(workers, 1)))
