"""What a source of MLflow's says to the person who copies from it."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class Remarks:
    """Lines for a person, each kept once in a list that somebody else reads."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Keep a line that was not said before."""
        with self._lock:
            if line not in self._said:
                self._said.add(line)
                self.lines.append(line)


def note_left_out(counts: Mapping[str, int], notes: Remarks) -> None:
    """Say how much of each kind is not copied, if there is any."""
    if counts:
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in counts.items())
        notes.add(f"Not copied, because Headrace does not keep it: {kinds}.")
