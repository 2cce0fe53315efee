"""How many requests are predicted together, and how long the first of them waits for the others.

Nothing waits while nobody else is about to come: with one caller at a time a request goes on at
once. Under load those that were answered together come back nearly together, so a worker that is
free waits for a part of the time that a prediction takes, until about as many are there as the
last times.
"""

from __future__ import annotations

from typing import Final

_MEMORY: Final = 0.2
"""How much of the newest observation goes into an average."""
_PATIENCE: Final = 0.5
"""The part of a prediction's time that a request may wait for others."""
_MAX_WAIT: Final = 0.02


class BatchPolicy:
    """Learns from what it sees; belongs to one model version."""

    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch
        """Requests in a batch at most; 1 once the model turned out not to take several."""
        self._seconds = 0.0
        self._together = 1.0

    def wait(self, queued: int, under_way: int, waited: float) -> float:
        """Seconds until a free worker should begin, with so many requests queued and so many with
        other workers, of which the first has waited for `waited` seconds; 0 for now.
        """
        expected = min(self.max_batch, self._together - under_way)
        if queued >= expected * 0.8 or queued >= self.max_batch:
            return 0.0
        return max(0.0, min(_MAX_WAIT, self._seconds * _PATIENCE) - waited)

    def observe(self, together: int, size: int, seconds: float) -> None:
        """A batch of `size` requests was predicted in `seconds`, when `together` requests were
        queued or under way.
        """
        self._together += _MEMORY * (together - self._together)
        self._seconds += _MEMORY * (seconds - self._seconds)
