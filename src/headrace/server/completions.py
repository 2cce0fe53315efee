"""Results that other threads hand to the event loop, many with one wake-up.

`call_soon_threadsafe` writes to a pipe, and the loop reads it: a system call on either side. One
commit answers many requests, so a thread that finds the loop already woken only leaves its
result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Done = Callable[[Any, BaseException | None], None]


class Completions:
    """The way of results into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._woken = False

    def expect(self) -> tuple[asyncio.Future[Any], Done]:
        """A future of the loop, and the function that fulfils it from any thread."""
        future = self._loop.create_future()

        def fulfil(answer: Any, error: BaseException | None) -> None:
            if future.done():  # the client went away
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        return future, self.expect_call(fulfil)

    def expect_call(self, arrived: Done) -> Done:
        """The function that, from any thread, has `arrived` called on the loop."""

        def done(answer: Any, error: BaseException | None) -> None:
            # First leave the result, then look: whoever wakes the loop may rely on that order.
            self._arrived.append((arrived, answer, error))
            if not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._drain)

        return done

    def _drain(self) -> None:
        self._woken = False
        while self._arrived:
            arrived, answer, error = self._arrived.popleft()
            arrived(answer, error)
