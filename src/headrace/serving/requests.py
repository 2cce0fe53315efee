"""A request and an answer as the formats of this server see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect

from headrace.errors import HeadraceError
from headrace.http.answers import Told
from headrace.http.bodies import Bodies, message_there
from headrace.serving.worker.calls import JSON

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class UnsupportedContentType(HeadraceError):
    """The body is of a kind that nobody reads here."""

    error_code = "BAD_REQUEST"
    http_status = 415


class Request:
    """One request. Its body is read when a format asks for it."""

    __slots__ = ("_bodies", "_receive", "fields", "headers", "method", "path")

    def __init__(
        self, scope: Scope, receive: Receive, fields: Mapping[str, str], bodies: Bodies
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.fields = fields
        """The parts of the path that the route names."""
        self._receive = receive
        self._bodies = bodies

    async def body(self) -> bytes:
        """All of it. Raises PayloadTooLarge, InvalidRequest, UnsupportedContentType,
        ClientDisconnect.
        """
        coding = self.headers.get(b"content-encoding", b"identity")
        if coding.lower() != b"identity":
            raise UnsupportedContentType(
                f"The header 'Content-Encoding' is {coding[:100].decode('latin-1')!r}; send the "
                "body as it is, not compressed."
            )
        return await self._bodies.whole(self._receive, self.headers)

    def is_gone(self) -> bool:
        """Whether the caller has hung up by now; to be asked after the body was read."""
        message = message_there(self._receive)
        return message is not None and message["type"] == "http.disconnect"

    async def hung_up(self) -> None:
        """Return when the caller is gone; to be awaited after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @asynccontextmanager
    async def until_hung_up(self) -> AsyncGenerator[None, None]:
        """Ends what is done in it with ClientDisconnect as soon as the caller is gone; to be
        entered after the body was read.
        """
        loop = asyncio.get_running_loop()
        leaving = loop.create_task(self.hung_up())
        scope = asyncio.timeout(None)

        def end(_: asyncio.Task[None]) -> None:
            scope.reschedule(loop.time())

        try:
            async with scope:
                leaving.add_done_callback(end)
                try:
                    yield
                finally:
                    leaving.remove_done_callback(end)
        except TimeoutError:
            if scope.expired():
                raise ClientDisconnect from None
            raise
        finally:
            leaving.cancel()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole or in pieces, which are closed when their reader is gone."""

    body: bytes | bytearray | AsyncGenerator[bytes, None] = b""
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def failure(told: Told, body: bytes, more: Mapping[str, str] | None = None) -> Reply:
    """An error as an answer with this body, its own headers and `more`."""
    headers = {name.decode(): value.decode() for name, value in told.headers}
    return Reply(body, told.status, headers={**headers, **(more or {})})


Answer = Callable[[Request], Awaitable[Reply]]
"""What answers a route."""
Shape = Callable[[BaseException], Reply]
"""How the callers of an API want to be told an error."""


@dataclass(frozen=True)
class Route:
    """A path, what answers it, and how errors look there. Parts in braces are fields, whose values
    have slashes only where a field is a `path`: "/v1/models/{model:path}".
    """

    method: str
    path: str
    answer: Answer
    shape: Shape
    is_open: bool = False
    """Whether it answers to anybody: what load balancers ask."""
