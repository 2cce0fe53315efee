"""The scoring server as an ASGI application: finds the route, checks the caller, tells errors."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect

from headrace.errors import Unauthenticated
from headrace.http.answers import SAFE_HEADERS, method_not_allowed, not_served
from headrace.http.guard import HostGuard
from headrace.serving.invocations import Invocations, error_reply
from headrace.serving.requests import Receive, Reply, Request, Route, Scope, Shape
from headrace.serving.rollout import Rollout
from headrace.serving.served import ServedModels
from headrace.serving.settings import ServingSettings
from headrace.serving.status import Status

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(
    models: ServedModels, settings: ServingSettings, rollouts: Sequence[Rollout] = ()
) -> ScoringApp:
    """The application that answers for these models, in all formats."""
    formats = (Invocations(models), Status(models, rollouts))
    return ScoringApp([route for each in formats for route in each.routes()], settings)


class ScoringApp:
    """See the module."""

    def __init__(self, routes: Iterable[Route], settings: ServingSettings) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        self._settings = settings
        self._guard = HostGuard(settings)
        self._key = settings.api_key.encode() if settings.api_key else None
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = patterns if "{" in route.path else self._exact
            table.setdefault(route.path, {})[route.method] = route
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        shape: Shape = error_reply
        try:
            route, fields = self._find(scope["method"], scope["path"])
            shape = route.shape
            request = Request(scope, receive, fields, self._settings)
            self._check(request, route)
            reply = await route.answer(request)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - becomes an answer
            reply = shape(error)
        await _send_reply(reply, send)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        methods, fields = self._exact.get(path), {}
        if methods is None:
            for pattern, found in self._patterns:
                match = pattern.fullmatch(path)
                if match:
                    methods, fields = found, match.groupdict()
                    break
            else:
                raise not_served(method, path)
        route = methods.get(method)
        if route is None:
            raise method_not_allowed(method, path, methods)
        return route, fields

    def _check(self, request: Request, route: Route) -> None:
        """Raise unless this caller may ask for this."""
        if route.is_open:
            return
        host = request.headers.get(b"host")
        self._guard.check_host(host)
        origin = request.headers.get(b"origin")
        if origin is not None:
            self._guard.check_origin(request.method, origin, host)
        if self._key is not None:
            given = request.headers.get(b"authorization", b"")
            scheme, _, key = given.partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self._key):
                raise Unauthenticated(
                    "This server asks for a key; expected the header 'Authorization: Bearer KEY'."
                )


async def _send_reply(reply: Reply, send: Send) -> None:
    headers = [
        (b"content-type", reply.content_type.encode()),
        *SAFE_HEADERS,
        *((name.encode(), value.encode()) for name, value in reply.headers.items()),
    ]
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await _send_pieces(reply.body, send)


async def _send_pieces(pieces: AsyncIterator[bytes], send: Send) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
