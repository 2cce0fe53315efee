"""Whether a model may be asked for several calls at once: trusted, but checked.

The first batches are predicted both ways, and later ones now and then. Batches of equal calls say
nothing of models that mix their rows up, so those of unlike calls are counted apart; nor do calls
with some params say anything of others, which may change what the model does with its rows. The
first difference turns batching off for good.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Final

log = logging.getLogger("headrace.serving")

_FIRST: Final = 3
_MOST_FAMILIES: Final = 256


class Trial:
    """What is known of a model; `is_over` once it turned out not to take several calls at once."""

    def __init__(self, *, is_over: bool) -> None:
        self.is_over = is_over
        self._seen: dict[Hashable, int] = {}

    def must_check(self, family: Hashable, *, are_alike: bool) -> bool:
        """Whether the batch that comes now is to be predicted both ways: of each family the first
        ones, and then the 4th, 8th, 16th and so on.
        """
        key = (family, are_alike)
        if key not in self._seen and len(self._seen) >= _MOST_FAMILIES:
            del self._seen[next(iter(self._seen))]  # it is tried anew if it comes again
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        return seen <= _FIRST or seen & (seen - 1) == 0

    def end(self, reason: str) -> None:
        """Predict each call alone from now on."""
        if not self.is_over:
            self.is_over = True
            log.warning(
                "Requests of this model are predicted one by one from now on: %s. Save it with "
                "metadata={'batching': False} if it is meant to be so.",
                reason,
            )
