"""What is told of what a model's code raised: bounded, as the code may say anything in it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LONGEST_MESSAGE: Final = 2_000
_LONGEST_TRACE: Final = 20_000
_LINES: Final = 6
"""As many of the innermost as tell one place from another: fewer than lead from us to a model."""
_LONGEST_ORIGIN: Final = 1_000
_CALLED_FROM: Final = " < "
_SAID_EVERY: Final = 60.0
"""Seconds between two lines that only count."""
_MOST: Final = 200
"""Tracebacks that are told in full; what is raised elsewhere still is only counted."""


def cut(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """A text, of `longest` characters at most: of a longer one its beginning and its end."""
    if len(text) <= longest:
        return text
    left_out = f" [… of {len(text):,} characters …] "
    half = (longest - len(left_out)) // 2
    return text[:half] + left_out + text[-half:]


def message_of(error: BaseException | None) -> str:
    """The class of an error, and what it says."""
    text = str(error)
    return cut(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def trace_of(error: BaseException) -> str:
    """Where an error comes from, for the log."""
    return cut("".join(traceback.format_exception(error)), _LONGEST_TRACE)


def origin_of(error: BaseException) -> str:
    """What was raised, and where: its class and the last few lines of code that led there, the last
    one first, "ValueError at model.py:7 < base.py:30". The same for all that differ only in what
    they say.
    """
    # The last ones: those before grow with each time that the same object is raised.
    steps = list(traceback.walk_tb(error.__traceback__))[-_LINES:]
    lines = (f"{frame.f_code.co_filename}:{number}" for frame, number in reversed(steps))
    places = _CALLED_FROM.join(lines)
    return cut(f"{type(error).__qualname__} at {places}", _LONGEST_ORIGIN)


@dataclass
class _Told:
    at: float
    more: int = 0
    """How often it was raised since."""


class RaisedLog:
    """Tells the log what a model's code raises, though every request may raise it again: each
    error in full once, by its origin, and then how often it came, once a minute at most.
    """

    def __init__(
        self,
        log: logging.Logger,
        *,
        is_each_in_full: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self.is_each_in_full = is_each_in_full
        """Whether each is told in full every time, for those who look for one."""
        self._log = log
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._others: Final = _Told(-_SAID_EVERY)

    def tell(self, what: str, origin: str, trace: str) -> None:
        """`what` has happened ("m could not predict"), with what `origin_of` and `trace_of` say of
        the error.
        """
        now = self._clock()
        told = self._told.get(origin)
        if self.is_each_in_full or (told is None and len(self._told) < _MOST):
            self._told[origin] = _Told(now)
            self._log.warning("%s:\n%s", what, trace.rstrip())
            return
        told = told or self._others
        told.more += 1
        if now - told.at >= _SAID_EVERY:
            place = origin.partition(_CALLED_FROM)[0]
            self._log.warning(
                "%s, %d times more since it was told last: %s", what, told.more, place
            )
            told.at, told.more = now, 0
