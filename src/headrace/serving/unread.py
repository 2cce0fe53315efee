"""What has come of a stream of text and its reader has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Self

from headrace.errors import HeadraceError
from headrace.serving.engines.base import Event, Piece

_MOST: Final = 50_000
"""Events that are kept: some tens of megabytes at most."""
_MOST_JOINED: Final = 4096
"""Characters of a piece that waits, to which no more are joined: joining copies all of them."""


class Unread:
    """Events in order, for one reader, who iterates over them: what was kept before the end is
    read, then iterating ends, or raises what the stream has ended with. Belongs to the event loop.
    """

    __slots__ = ("_count", "_error", "_events", "_waiter", "is_ended")

    def __init__(self) -> None:
        self.is_ended = False
        """Whether nothing more will come."""
        self._events: deque[Event] = deque()
        self._count = 0
        """Events that have come since the reader had taken all."""
        self._error: HeadraceError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_too_much(self) -> bool:
        """Whether the reader is so late that the stream should be ended."""
        return self._count > _MOST

    def keep(self, event: Event) -> None:
        """Keep an event until the reader comes. Text that goes on where the last piece ended is
        one piece with that: a reader that is late catches up with one.
        """
        self._count += 1
        if isinstance(event, Piece):
            last = self._events[-1] if self._events else None
            if isinstance(last, Piece) and _can_join(last, event):
                text, logprobs = last.text + event.text, last.logprobs + event.logprobs
                event = Piece(event.key, event.index, text, logprobs)
                self._events.pop()
        self._events.append(event)
        self._wake()

    def end(self, error: HeadraceError | None = None) -> None:
        """Nothing more will come, because of an error if there is one; the first end counts."""
        if not self.is_ended:
            self.is_ended = True
            self._error = error
            self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._error is not None:
                raise self._error
            if self.is_ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event = self._events.popleft()
        if not self._events:
            self._count = 0
        return event

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _can_join(piece: Piece, more: Piece) -> bool:
    is_short = len(piece.text) + len(more.text) + len(piece.logprobs) < _MOST_JOINED
    return piece.index == more.index and is_short
