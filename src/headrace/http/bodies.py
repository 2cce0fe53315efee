"""The whole body of a request, within limits of size, of silence, and of all bodies together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from starlette.requests import ClientDisconnect

from headrace.errors import InvalidRequest, PayloadTooLarge, TooManyRequests
from headrace.http.answers import body_stopped, shown
from headrace.http.settings import ListenSettings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ALL_BODIES: Final = 512 << 20
_PATIENCE: Final = 5
"""How many times the silence that is allowed a whole body may take."""


class Bodies:
    """Reads the bodies of one server. Those that come in pieces are kept until they are whole, so
    all of them together have a limit: else a few clients that never finish take all memory.
    """

    def __init__(self, settings: ListenSettings, all_bytes: int = _ALL_BODIES) -> None:
        self._settings = settings
        self._all_bytes = all_bytes
        self._kept = 0

    async def whole(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The body of a request. Raises PayloadTooLarge, ClientDisconnect, InvalidRequest when it
        does not come, and TooManyRequests when too much of others has not come yet.
        """
        settings = self._settings
        limit = settings.max_body_bytes
        announced = headers.get(b"content-length")
        if announced is not None and (not announced.isdigit() or int(announced) > limit):
            raise PayloadTooLarge(
                f"The body has {shown(announced.decode('latin-1'))} bytes; at most {limit} are "
                "allowed. Split it into several calls."
            )
        message = message_there(receive)
        if message is None:
            message = await _next_message(receive, 0, settings.body_timeout)
        if message["type"] == "http.request" and not message.get("more_body"):
            # Nearly always: a small body came with its headers, and is not copied again.
            whole: bytes = message.get("body", b"")
            if len(whole) <= limit:
                return whole
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(settings.body_timeout * _PATIENCE):
                await self._rest(receive, message, pieces)
            return b"".join(pieces)
        except TimeoutError:
            raise InvalidRequest(
                f"The body was not there after {settings.body_timeout * _PATIENCE:g} seconds."
            ) from None
        finally:
            self._kept -= sum(map(len, pieces))

    async def _rest(
        self, receive: Receive, message: MutableMapping[str, Any], pieces: list[bytes]
    ) -> None:
        limit, length = self._settings.max_body_bytes, 0
        while True:
            if message["type"] != "http.request":
                raise ClientDisconnect
            piece = message.get("body", b"")
            length += len(piece)
            if length > limit:
                raise PayloadTooLarge(
                    f"The body has more than {limit} bytes, the most that is allowed. Split it "
                    "into several calls."
                )
            if self._kept + len(piece) > self._all_bytes:
                raise TooManyRequests(
                    f"{self._all_bytes} bytes of requests are on their way; try again soon.",
                    1,
                )
            self._kept += len(piece)
            pieces.append(piece)
            if not message.get("more_body"):
                return
            message = await _next_message(receive, length, self._settings.body_timeout)


def message_there(receive: Receive) -> MutableMapping[str, Any] | None:
    """The next message if it is there already: to wait for it takes a timer, which costs more."""
    waiting = receive().__await__()
    try:
        next(waiting)
    except StopIteration as done:
        message: MutableMapping[str, Any] = done.value
        return message
    waiting.close()
    return None


async def _next_message(receive: Receive, length: int, seconds: float) -> MutableMapping[str, Any]:
    """The next piece of a body, of which `length` bytes are there. Raises InvalidRequest."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError as error:
        raise body_stopped(length, seconds) from error
