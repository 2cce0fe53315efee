"""The line in which choices wait: requests take turns, each with its choices in their order."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class _Keyed(Protocol):
    key: int
    """The request's."""


T = TypeVar("T", bound=_Keyed)


class Line(Generic[T]):
    """See the module. A request that has had a turn goes behind all others, so that one with very
    many choices holds nobody up for longer than one of them; a request alone has every turn.
    """

    def __init__(self) -> None:
        self._of: dict[int, deque[T]] = {}
        """By request, in the order of their turns."""

    def add(self, item: T) -> None:
        """Let it wait behind those of its request, and a new request behind all others."""
        self._of.setdefault(item.key, deque()).append(item)

    def put_back(self, item: T) -> None:
        """Let it wait before all others."""
        items = self._of.pop(item.key, None) or deque()
        items.appendleft(item)
        self._of = {item.key: items, **self._of}

    def first(self) -> T | None:
        """Whose turn it is; None where nobody waits."""
        return next((items[0] for items in self._of.values()), None)

    def take(self) -> None:
        """The first has been served, and waits no longer."""
        key = next(iter(self._of))
        items = self._of.pop(key)
        items.popleft()
        if items:
            self._of[key] = items

    def remove(self, key: int) -> None:
        """Nothing of this request waits any longer. Unknown keys are ignored."""
        self._of.pop(key, None)

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._of)
