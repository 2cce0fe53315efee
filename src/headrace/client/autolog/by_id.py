"""What is known about objects that are not ours: by identity, and only as long as they live."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ById(Generic[T]):
    """What is known about objects that cannot be keys; forgotten when the object is gone."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], T]] = {}

    def put(self, subject: Any, value: T) -> None:
        """Know `value` about `subject`, unless nobody can tell when it is gone (as of a list)."""
        number = id(subject)

        def forget(reference: weakref.ref[Any]) -> None:
            if (entry := self._known.get(number)) is not None and entry[0] is reference:
                del self._known[number]

        try:
            self._known[number] = (weakref.ref(subject, forget), value)
        except TypeError:
            return

    def get(self, subject: Any) -> T | None:
        """What is known about `subject`; None for nothing."""
        entry = self._known.get(id(subject))
        return entry[1] if entry is not None and entry[0]() is subject else None

    def __len__(self) -> int:
        return len(self._known)
