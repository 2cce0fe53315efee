"""Stop texts: found in a text, and while one grows piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first of the stop texts in it, and whether there was one."""
    places = [place for place in (text.find(each) for each in stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


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
        said = len(whole) - _held_back(whole, self._stop)
        self._held = whole[said:]
        return whole[:said]

    def rest(self) -> str:
        """What was kept back, now that no more comes."""
        rest, self._held = self._held, ""
        return rest


def streamed(pieces: Iterable[str], stop: Sequence[str]) -> Generator[str, None, bool]:
    """Pieces of a text, up to the first stop text; whether there was one is returned at the end."""
    cutter = StopCutter(stop)
    for piece in pieces:
        if said := cutter.add(piece):
            yield said
        if cutter.is_stopped:
            return True
    if rest := cutter.rest():
        yield rest
    return False


def _held_back(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop text."""
    longest = 0
    for each in stop:
        for length in range(min(len(each) - 1, len(text)), longest, -1):
            if text.endswith(each[:length]):
                longest = length
                break
    return longest
