"""What a copy did: how many of each kind, what was refused, what a person should know."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from msgspec import Struct

from headrace.errors import (
    HeadraceError,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

T = TypeVar("T")

FATAL: Final = (Unavailable, Unauthenticated, PermissionDenied, TooManyRequests)
"""Errors that the next thing to copy would meet again: the copy stops and can be run again."""


class Tally(Struct):
    """Things of one kind; what is in none of the first three could not be copied whole."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    incomplete: int = 0


class Problem(Struct, frozen=True):
    """Something that was not copied, and why."""

    what: str
    why: str


KINDS: Final = ("experiments", "runs", "logged_models", "registered_models", "model_versions")


@dataclass
class Outcome:
    """The count so far. Safe to use from any thread."""

    tallies: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    points: int = 0
    """Points of metrics that were sent; those that were there already are counted too."""
    files: int = 0
    file_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _known_problems: set[Problem] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, how: str) -> None:
        """One more thing of `kind` is `how` (a field of Tally)."""
        with self._lock:
            tally = self.tallies[kind]
            setattr(tally, how, getattr(tally, how) + 1)

    def sent(self, points: int = 0, files: int = 0, file_bytes: int = 0) -> None:
        """So much more was written."""
        with self._lock:
            self.points += points
            self.files += files
            self.file_bytes += file_bytes

    def problem(self, what: str, why: str) -> None:
        """Something could not be copied; said once, however often it is met."""
        with self._lock:
            problem = Problem(what, why)
            if problem not in self._known_problems:
                self._known_problems.add(problem)
                self.problems.append(problem)

    def note(self, text: str) -> None:
        """Something a person should know, once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def attempt(self, what: str, do: Callable[[], T]) -> T | None:
        """What `do` returns; None after an error about one thing, which becomes a problem.

        What stops everything is raised.
        """
        try:
            return do()
        except FATAL:
            raise
        except HeadraceError as error:
            self.problem(what, error.message)
            return None
