"""How much of prompts is taken in between two tokens of the others, so that none of them stalls."""

from __future__ import annotations

from typing import Final

_SECONDS: Final = 0.25
"""Who reads along does not mind waiting this long."""
_STEPS: Final = 2
"""Where a step itself takes long, taking in so many times as long is no great matter."""
_FIRST: Final = 32
_LEAST: Final = 16
_MOST: Final = 512
_GROWTH: Final = 4
"""At most so many times as much as before: what a few tokens took says little of many."""


class Pace:
    """Finds by trying how many tokens of prompts the model takes in in that time."""

    def __init__(self, fixed: int | None = None) -> None:
        """`fixed`: so many tokens always."""
        self.tokens = _FIRST if fixed is None else fixed
        """The most tokens for the next call."""
        self._is_fixed = fixed is not None
        self._step = 0.0

    def stepped(self, seconds: float) -> None:
        """A step of the sequences under way took so long."""
        self._step = seconds if self._step == 0 else 0.8 * self._step + 0.2 * seconds

    def took(self, tokens: int, seconds: float) -> None:
        """So many tokens of prompts took so long."""
        if self._is_fixed or tokens <= 0:
            return
        allowed = max(_SECONDS, _STEPS * self._step)
        fitting = int(min(tokens * allowed / max(seconds, 1e-6), _MOST))
        self.tokens = max(min(fitting, _GROWTH * self.tokens), _LEAST)
