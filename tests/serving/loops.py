"""Tests that are coroutines."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LIMIT: Final = 60.0


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs in an event loop of its own, for a minute at most."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), LIMIT))

    return run


async def until(holds: Callable[[], bool]) -> None:
    """Return when something holds that nobody tells of."""
    deadline = time.monotonic() + LIMIT / 2
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        await asyncio.sleep(0.01)


async def outcome(work: Awaitable[T]) -> T | Exception:
    """What came of it: the answer, or the error."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
