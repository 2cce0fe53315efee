"""The scoring server as an ASGI application: finds the route, checks the caller, tells errors."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from base64 import b64decode
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from contextlib import aclosing, suppress
from typing import Any, Final

from starlette.requests import ClientDisconnect

from headrace.errors import HeadraceError, Unauthenticated, Unavailable
from headrace.http.answers import SAFE_HEADERS, Headers, method_not_allowed, not_served
from headrace.http.bodies import Bodies
from headrace.http.guard import (
    ALL_HEADERS,
    HostGuard,
    cross_origin_headers,
    is_preflight,
    preflight_answer,
)
from headrace.serving.calls import ModelFailed
from headrace.serving.inference_v2 import InferenceV2, inference_error
from headrace.serving.invocations import Invocations, error_reply
from headrace.serving.openai import OpenAI
from headrace.serving.openai_errors import openai_error
from headrace.serving.pages import Pages
from headrace.serving.requests import Receive, Reply, Request, Route, Scope, Shape
from headrace.serving.rollout import Rollout
from headrace.serving.served import ServedModels
from headrace.serving.settings import ServingSettings
from headrace.serving.status import Status

log = logging.getLogger("headrace.serving")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PIECE: Final = 1 << 18
"""Bytes of an answer that are sent at a time."""


def create_app(
    models: ServedModels, settings: ServingSettings, rollouts: Sequence[Rollout] = ()
) -> ScoringApp:
    """The application that answers for these models, in all formats."""
    pages = Pages(models, asks_for_key=settings.api_key is not None)
    chat = OpenAI(models)
    formats = (
        Invocations(models, chat),
        InferenceV2(models),
        chat,
        Status(models, rollouts),
        pages,
    )
    return ScoringApp([route for each in formats for route in each.routes()], settings)


class ScoringApp:
    """See the module."""

    def __init__(self, routes: Iterable[Route], settings: ServingSettings) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        self._settings = settings
        self._bodies = Bodies(settings)
        self._guard = HostGuard(settings)
        self._key = settings.api_key.encode() if settings.api_key else None
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = patterns if "{" in route.path else self._exact
            methods = table.setdefault(route.path, {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route  # uvicorn leaves out the body
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        shape = _shape_of(scope["path"])
        request = Request(scope, receive, {}, self._bodies)
        if allowed := self._allowed(request):
            if is_preflight(request.method, request.headers):
                for message in preflight_answer(allowed, request.headers):
                    await send(message)
                return
            send = _adding(allowed, send)
        try:
            route, fields = self._find(scope["method"], scope["path"])
            shape = route.shape
            request.fields = fields
            self._check(request, route)
            reply = await route.answer(request)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if request.is_gone():
                return
            reply = shape(Unavailable("The server stopped before this was answered; ask again."))
        except Exception as error:  # noqa: BLE001 - becomes an answer
            reply = shape(_with_trace(error) if self._settings.debug else error)
        if isinstance(reply.body, bytes | bytearray):
            await _send_whole(reply, reply.body, send)
        else:
            await self._send_pieces(reply, reply.body, request, send)

    async def _send_pieces(
        self, reply: Reply, body: AsyncGenerator[bytes, None], request: Request, send: Send
    ) -> None:
        """Send pieces as fast as they are read, and end them as soon as nobody reads them."""
        silence = self._settings.body_timeout
        try:
            async with aclosing(body) as pieces, request.until_hung_up():
                await send(_start(reply))
                async for piece in pieces:
                    async with asyncio.timeout(silence):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except ClientDisconnect:
            pass
        except TimeoutError:
            log.warning("%s was not read for %g seconds; its stream ends.", request.path, silence)

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

    def _allowed(self, request: Request) -> Headers:
        """What lets the page that sends this read the answer; nothing where it is a stranger's, or
        none. A page says by itself who asks: a key that the browser knows is not sent for others.
        """
        origin, host = request.headers.get(b"origin"), request.headers.get(b"host")
        if origin is None or not self._guard.is_good_origin(origin, host):
            return []
        try:
            self._guard.check_host(host)
        except HeadraceError:
            return []
        return cross_origin_headers(origin, ALL_HEADERS)

    def _check(self, request: Request, route: Route) -> None:
        """Raise unless this caller may ask for this."""
        if route.is_open:
            return
        host = request.headers.get(b"host")
        self._guard.check_host(host)
        origin = request.headers.get(b"origin")
        if origin is not None:
            self._guard.check_origin(request.method, origin, host)
        if self._key is not None and not _has_key(request, self._key):
            wrong = bool(request.headers.get(b"authorization"))
            raise Unauthenticated(
                f"{'That is not the key of this server' if wrong else 'This server asks for a key'}"
                "; expected the header 'Authorization: Bearer KEY'."
            )


def _adding(headers: Headers, send: Send) -> Send:
    """A `send` that adds these headers."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] += headers
        await send(message)

    return sending


def _start(reply: Reply, *more: tuple[bytes, bytes]) -> MutableMapping[str, Any]:
    headers = [
        (b"content-type", reply.content_type.encode()),
        *SAFE_HEADERS,
        *((name.encode(), value.encode()) for name, value in reply.headers.items()),
        *more,
    ]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


async def _send_whole(reply: Reply, body: bytes | bytearray, send: Send) -> None:
    await send(_start(reply, (b"content-length", b"%d" % len(body))))
    if len(body) <= _PIECE:
        await send({"type": "http.response.body", "body": body})
        return
    # A piece at a time, as it is read; others are answered in between.
    view = memoryview(body)
    for end in range(_PIECE, len(body) + _PIECE, _PIECE):
        more = end < len(body)
        piece = view[end - _PIECE : end]
        await send({"type": "http.response.body", "body": piece, "more_body": more})
        await asyncio.sleep(0)


def _pattern(path: str) -> re.Pattern[str]:
    whole = re.sub(r"\\\{(\w+):path\\\}", r"(?P<\1>.+)", re.escape(path))
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", whole), re.DOTALL)


def _has_key(request: Request, key: bytes) -> bool:
    """Whether the request carries the key: as a bearer's token, or as the password that a browser
    asks people for.
    """
    scheme, _, given = request.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"basic":
        with suppress(ValueError):
            _, _, password = b64decode(given.strip(), validate=True).partition(b":")
            return hmac.compare_digest(password, key)
        return False
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), key)


def _shape_of(path: str) -> Shape:
    """How errors look at a path that no route has."""
    if path.startswith("/v1/"):
        return openai_error
    return inference_error if path.startswith("/v2/") else error_reply


def _with_trace(error: Exception) -> Exception:
    """A model's failure as its author wants to read it."""
    if not isinstance(error, ModelFailed) or error.trace is None:
        return error
    told = ModelFailed(f"{error.message}\n{error.trace.rstrip()}")
    told.error_code, told.http_status = error.error_code, error.http_status
    return told
