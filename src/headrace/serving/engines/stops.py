"""Stop texts, found while a text grows token by token."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.models.flavors.openai_answers import cut_at_stop, held_back


class StopCutter:
    """Lets a growing text through, up to the first stop text in it.

    What may be the beginning of a stop text is kept back until more is known. Its work does not
    grow with the text: only what is kept back is looked at again.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False
        """Whether a stop text came; nothing comes after it."""

    def add(self, text: str) -> str:
        """`text` comes next; what may be said now."""
        if not self._stop:
            return text
        if not text or self.is_stopped:
            return ""
        # A stop text can only begin in what was kept back: what was said began none.
        whole, self.is_stopped = cut_at_stop(self._held + text, self._stop)
        if self.is_stopped:
            self._held = ""
            return whole
        kept = held_back(whole, self._stop)
        self._held = whole[len(whole) - kept :]
        return whole[: len(whole) - kept]

    def rest(self) -> str:
        """What was kept back, now that no more comes."""
        rest, self._held = self._held, ""
        return rest
