"""Work beside the event loop that nobody waits for when the program ends.

`asyncio.to_thread` would: a registry that does not answer, or an environment that is being made,
kept a server from stopping.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a function returns or raises that may block, called in a thread of its own."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def succeed(result: T) -> None:
        if not done.done():
            done.set_result(result)

    def fail(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def work() -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            try:
                result = context.run(function, *arguments, **named)
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(succeed, result)

    threading.Thread(target=work, name=f"aside-{function.__name__}", daemon=True).start()
    return await done
