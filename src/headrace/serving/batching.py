"""How many requests are predicted together.

A worker that is free gets what has come meanwhile, at once: one caller at a time never waits, and
under load batches grow to what arrives during a prediction. Waiting on purpose for more was
measured and is not worth it: while a worker predicts one batch, the server reads the next.
"""

from __future__ import annotations

import math
from typing import Final

_MEMORY: Final = 0.2
"""How much of the newest observation goes into an average."""
_SLOW: Final = 1 / 16
"""The part of the time limit that a batch should not exceed: one that hangs is noticed late."""


class BatchPolicy:
    """Learns from what it sees; belongs to one model version."""

    def __init__(self, max_batch: int, timeout: float) -> None:
        """`timeout`: seconds that a request may take."""
        self.size = max_batch
        """Requests in a batch at most."""
        self.sizes: dict[int, int] = {}
        """How often a batch had so many requests."""
        self._max_batch = max_batch
        self._slow = timeout * _SLOW
        self.seconds_each = 0.0
        """That a request takes of a worker, on average."""

    def observe(self, size: int, seconds: float) -> None:
        """A batch of `size` requests was predicted in `seconds`."""
        self.sizes[size] = self.sizes.get(size, 0) + 1
        self.seconds_each += _MEMORY * (seconds / size - self.seconds_each)
        if seconds > self._slow:
            self.size = max(1, min(self.size, size) // 2)
        elif size == self.size < self._max_batch:
            self.size += 1

    def seconds_until_room(self, queued: int, workers: int) -> int:
        """Whole seconds, at least 1, after which half of what is queued will be answered."""
        return max(1, math.ceil(queued / 2 * self.seconds_each / max(workers, 1)))
