"""The whole body of a request, within limits of size and of silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from headrace.errors import PayloadTooLarge
from headrace.http.answers import body_stopped, shown
from headrace.http.settings import ListenSettings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def whole_body(
    receive: Receive, headers: Mapping[bytes, bytes], settings: ListenSettings
) -> bytes:
    """The body of a request. Raises PayloadTooLarge, ClientDisconnect, and InvalidRequest when
    nothing of it comes for too long.
    """
    limit = settings.max_body_bytes
    announced = headers.get(b"content-length")
    if announced is not None and (not announced.isdigit() or int(announced) > limit):
        raise PayloadTooLarge(
            f"The body has {shown(announced.decode('latin-1'))} bytes; at most {limit} are "
            "allowed. Split it into several calls."
        )
    message = await _next_message(receive, 0, settings.body_timeout)
    if message["type"] == "http.request" and not message.get("more_body"):
        # Nearly always: a small body came with its headers, and is not copied again.
        whole: bytes = message.get("body", b"")
        if len(whole) <= limit:
            return whole
    return await _rest_of_body(receive, message, settings)


async def _rest_of_body(
    receive: Receive, message: MutableMapping[str, Any], settings: ListenSettings
) -> bytes:
    pieces: list[bytes] = []
    length = 0
    while True:
        if message["type"] != "http.request":
            raise ClientDisconnect
        piece = message.get("body", b"")
        length += len(piece)
        if length > settings.max_body_bytes:
            raise PayloadTooLarge(
                f"The body has more than {settings.max_body_bytes} bytes, the most that is "
                "allowed. Split it into several calls."
            )
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await _next_message(receive, length, settings.body_timeout)


async def _next_message(receive: Receive, length: int, seconds: float) -> MutableMapping[str, Any]:
    """The next piece of a body, of which `length` bytes are there. Raises InvalidRequest."""
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError as error:
        raise body_stopped(length, seconds) from error
