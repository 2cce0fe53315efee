"""How long to wait before a worker is started in the place of one that has ended or failed.

A worker that has lived for a while is replaced at once. One that has not says little alone; after
several in a row, and whenever loading fails, the pauses grow: a model whose workers die by
themselves must not keep the machine busy.
"""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger("headrace.serving")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_LONG_LIFE: Final = 10.0
"""Seconds after it was loaded from which on the end of a worker is no sign of a broken model."""
_SHORT_LIVES: Final = 5
"""Shorter lives in a row after which the next worker is not started at once."""
_HOPELESS: Final = 3
"""Times that loading failed in a row after which nobody waits for the next time."""


class Backoff:
    """Counts what went wrong in a row. Pauses are in seconds: 0.5, then twice as long each time, up
    to 30.
    """

    def __init__(self, name: str) -> None:
        """`name`: of the model, for the log."""
        self.failures = 0
        """Times in a row that no worker could be loaded."""
        self._name = name
        self._short_lives = 0
        """In a row, of loaded workers."""

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker is to be expected soon."""
        return self.failures >= _HOPELESS

    def succeeded(self) -> None:
        """A worker was loaded in the place of another one."""
        self.failures = 0

    def failed(self) -> float:
        """A worker could not be loaded: the pause before the next try."""
        self.failures += 1
        return _pause(self.failures)

    def ended(self, seconds: float) -> float:
        """A worker has ended so many seconds after it was loaded: the pause before the next one."""
        self._short_lives = self._short_lives + 1 if seconds < _LONG_LIFE else 0
        time_in_a_row = self._short_lives - _SHORT_LIVES
        if time_in_a_row < 1:
            return 0.0
        if time_in_a_row == 1:
            log.error(
                "%d workers of %s in a row have ended within %g seconds after they were loaded; "
                "the next ones are started ever later, up to %g seconds, until one lives longer",
                *(self._short_lives, self._name, _LONG_LIFE, _LONGEST_PAUSE),
            )
        return _pause(time_in_a_row)


def _pause(time_in_a_row: int) -> float:
    return min(_FIRST_PAUSE * 2.0 ** min(time_in_a_row - 1, 16), _LONGEST_PAUSE)
