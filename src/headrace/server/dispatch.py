"""From an HTTP request to a method of the store and back: one bare ASGI callable.

The calls of the protocol have fixed paths, so a dictionary finds the row of a call before any
router runs; the few paths with a field in them come next, and then the routes for artifacts and
pages, which are Starlette's. Whatever the way, this is the only place where Host and Origin, the
caller's role and the size of a body are checked, and where an error becomes an answer.

Training programs send a call for every step, so what lies on the way of a call of the protocol
is written for few allocations; comments say where.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from headrace.errors import (
    HeadraceError,
    InvalidRequest,
    TooManyRequests,
    error_from_code,
)
from headrace.http.answers import (
    EMPTY_BODY,
    EMPTY_START,
    SAFE_HEADERS,
    Headers,
    body_of,
    error_answer,
    json_start,
    method_not_allowed,
    not_served,
    shown,
)
from headrace.http.bodies import Bodies
from headrace.http.guard import (
    OPEN_PATHS,
    WITH_CREDENTIALS,
    HostGuard,
    cross_origin_headers,
    is_preflight,
    preflight_answer,
)
from headrace.protocol.codec import decode, decode_query, decode_with_path, encode
from headrace.protocol.endpoint import PREFIXES, Endpoint
from headrace.protocol.wire import Empty
from headrace.server.access import Gate, needed_role
from headrace.server.completions import Completions, Done
from headrace.server.express import may_ride
from headrace.server.settings import ServerSettings
from headrace.store.base import Submittable
from headrace.store.users import Role, UserStore

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderMap = Mapping[bytes, bytes]

Req = TypeVar("Req")
Ans = TypeVar("Ans")


@dataclass(frozen=True)
class Row(Generic[Req, Ans]):
    """An endpoint, the role it needs, and what answers it."""

    endpoint: Endpoint[Req, Ans]
    role: Role
    call: Callable[[Req], Ans]
    quick: bool = False
    """A read of one row and what belongs to it, or of none: see `_Call.answer_here`."""


SLOW_READ: Final = 0.005
"""Seconds; a quick read that takes longer was none."""
MAX_SLOW_READS: Final = 3
"""So many in a row (the first of all is always one), and the next go to threads for a while."""
SLOW_READ_MEMORY: Final = 5.0
"""Seconds of that while."""


class _Call:
    """A row, ready to be used: what is looked up once is not looked up per request."""

    __slots__ = ("call", "family", "has_body", "here_from", "needs_type", "role", "slow", "submit")

    def __init__(self, row: Row[Any, Any], quick_reads: bool) -> None:
        self.here_from = 0.0 if row.quick and quick_reads else math.inf
        self.slow = 0
        self.call = row.call
        self.submit = row.call.submit if isinstance(row.call, Submittable) else None
        self.family = row.endpoint.request
        self.role = row.role
        self.has_body = row.endpoint.method != "GET"
        self.needs_type = row.endpoint.method not in ("GET", "DELETE")

    def answer_here(self, request: Any) -> bytes:
        """The encoded answer of a quick read, on the event loop's own thread.

        Reading one run from SQLite takes 60 microseconds. In a thread of the pool it takes
        several times that, because the driver gives up the interpreter's lock at every step and
        must fight for it again; so a quick read is answered on the spot, unless the last few were
        slow (a run with very many metrics, a cold disk).
        """
        began = time.monotonic()
        body = encode(self.call(request))
        ended = time.monotonic()
        self.slow = self.slow + 1 if ended - began > SLOW_READ else 0
        if self.slow >= MAX_SLOW_READS:
            self.slow = 0
            self.here_from = ended + SLOW_READ_MEMORY
        return body


_Methods = dict[str, _Call]


class Dispatcher:
    """The ASGI application. Belongs to the event loop of its first request."""

    def __init__(
        self,
        rows: Iterable[Row[Any, Any]],
        routes: Sequence[Route],
        settings: ServerSettings,
        users: UserStore | None,
    ) -> None:
        self._exact: dict[str, _Methods] = {}
        self._patterns: list[tuple[re.Pattern[str], _Methods]] = []
        # A database behind a network may keep a caller waiting; a file does not.
        self._add(rows, quick_reads=settings.backend_store_uri.startswith("sqlite"))
        self.routes = tuple(routes)
        self._settings = settings
        self._bodies = Bodies(settings)
        self._users = users
        self._guard = HostGuard(settings)
        self._pool = ThreadPoolExecutor(settings.read_threads, "headrace-read")
        self._waiting_reads = 0
        # Made on the loop, with the first request.
        self._completions: Completions | None = None
        self._gate: Gate | None = None

    def _add(self, rows: Iterable[Row[Any, Any]], quick_reads: bool) -> None:
        patterns: dict[str, _Methods] = {}
        for row in rows:
            endpoint = row.endpoint
            for prefix in PREFIXES:
                path = prefix + endpoint.path
                table = patterns if "{" in path else self._exact
                methods = table.setdefault(path, {})
                if endpoint.method in methods:
                    raise ValueError(f"{endpoint.method} {path} stands in the table twice")
                methods[endpoint.method] = _Call(row, quick_reads)
                if endpoint.method == "GET":
                    # No quick read: the express lane, which takes those, would send the body.
                    methods["HEAD"] = _Call(row, quick_reads=False)
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _decline(scope, receive, send)
            return
        if self._completions is None:
            self._bind()
        headers = dict(scope["headers"])
        methods = self._exact.get(scope["path"])
        if methods is None or b"origin" in headers:
            await self._answer_slowly(scope, receive, send, headers)
            return
        try:
            self._guard.check_host(headers.get(b"host"))
            await self._answer_call(methods, None, scope, receive, send, headers)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - becomes an answer
            await _send_error(error, send)

    def find_express(
        self, method: str, path: str, headers: HeaderMap
    ) -> tuple[_Call, Completions] | None:
        """The call for the express lane, if its caller may make it without being asked."""
        call = self._exact.get(path, {}).get(method)
        if call is None or not may_ride(call) or not self._guard.knows_host(headers.get(b"host")):
            return None
        gate, completions = self._gate, self._completions
        if completions is None:
            return None
        if gate is not None and not gate.admits_at_once(call.role, headers.get(b"authorization")):
            return None
        return call, completions

    def close(self) -> None:
        """Let go of the threads; reads that have not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._gate is not None:
            self._gate.close()

    async def read(self, function: Callable[[], Ans]) -> Ans:
        """The result of `function` in one of the threads for reads. TooManyRequests."""
        if self._completions is None:
            self._bind()
        completions = self._completions
        assert completions is not None
        if self._waiting_reads >= self._settings.max_waiting_reads:
            raise TooManyRequests("Too many reads are waiting; try again in a moment.")
        future, done = completions.expect()
        self._waiting_reads += 1
        try:
            self._pool.submit(_run, function, done)
            answer: Ans = await future
            return answer
        finally:
            self._waiting_reads -= 1

    def _bind(self) -> None:
        self._completions = Completions(asyncio.get_running_loop())
        if self._users is not None:
            settings = self._settings
            self._gate = Gate(
                self._users,
                self._pool,
                open_without_users=settings.is_local or settings.insecure,
            )

    # ------------------------------------------------------------- calls of the protocol

    async def _answer_call(
        self,
        methods: _Methods,
        path_values: dict[str, str] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: HeaderMap,
    ) -> None:
        call = methods.get(scope["method"])
        if call is None:
            raise method_not_allowed(scope["method"], scope["path"], methods)
        gate = self._gate
        if gate is not None and gate.open_until < time.monotonic():
            await gate.admit(call.role, headers.get(b"authorization"), _address(scope))
        if call.has_body:
            body = await self._bodies.whole(receive, headers)
            if call.needs_type or body:
                _check_json(headers)
            if path_values:
                request = decode_with_path(body, call.family, path_values)
            else:
                request = decode(body, call.family)
        else:
            query = scope["query_string"].decode("latin-1")
            request = decode_query(query, call.family, path_values)
        if call.submit is not None:
            completions = self._completions
            assert completions is not None
            future, done = completions.expect()
            call.submit(request, done)
            answer = await future
            if type(answer) is Empty:
                await send(EMPTY_START)
                await send(EMPTY_BODY)
                return
            answer_body = encode(answer)
        elif call.here_from < time.monotonic():
            answer_body = call.answer_here(request)
        else:
            answer_body = await self.read(lambda: encode(call.call(request)))
        await send(json_start(200, len(answer_body)))
        await send(body_of(answer_body))

    # -------------------------------------------------------------------- everything else

    async def _answer_slowly(
        self, scope: Scope, receive: Receive, send: Send, headers: HeaderMap
    ) -> None:
        """Answer what is no call from a program: pages, artifacts, paths with fields."""
        answer = _Answer(send)
        try:
            await self._answer_any(scope, receive, answer, headers)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:
            if answer.started:
                raise  # uvicorn ends the connection, so that the client sees it is not whole
            await _send_error(_from_starlette(error, scope), answer)

    async def _answer_any(
        self, scope: Scope, receive: Receive, answer: _Answer, headers: HeaderMap
    ) -> None:
        method, path = scope["method"], scope["path"]
        host, origin = headers.get(b"host"), headers.get(b"origin")
        if path not in OPEN_PATHS:
            self._guard.check_host(host)
        if origin is not None:
            self._guard.check_origin(method, origin, host)
            if self._guard.is_good_origin(origin, host):
                allowed = cross_origin_headers(origin, WITH_CREDENTIALS)
                if is_preflight(method, headers):
                    for message in preflight_answer(allowed, headers):
                        await answer(message)
                    return
                answer.extra = allowed
        methods, path_values = self._exact.get(path), None
        if methods is None:
            methods, path_values = self._match(scope)
        if methods is not None:
            await self._answer_call(methods, path_values, scope, receive, answer, headers)
        else:
            await self._answer_route(scope, receive, answer, headers)

    def _match(self, scope: Scope) -> tuple[_Methods | None, dict[str, str] | None]:
        # The path as it was sent: an encoded slash inside a field is no separator.
        raw = scope.get("raw_path") or scope["path"].encode()
        text = raw.decode("latin-1")
        for pattern, methods in self._patterns:
            match = pattern.fullmatch(text)
            if match:
                return methods, {name: unquote(v) for name, v in match.groupdict().items()}
        return None, None

    async def _answer_route(
        self, scope: Scope, receive: Receive, answer: _Answer, headers: HeaderMap
    ) -> None:
        method, path = scope["method"], scope["path"]
        if self._gate is not None:
            needed = needed_role(method, path)
            await self._gate.admit(needed, headers.get(b"authorization"), _address(scope))
        # With an "app", Starlette raises its errors instead of answering them itself.
        scope["app"] = self
        allowed: set[str] = set()
        for route in self.routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope)
                await route.handle(scope, receive, answer)
                return
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            raise method_not_allowed(method, path, allowed)
        raise not_served(method, path)


class _Answer:
    """A `send` that adds the headers every answer has, and knows whether one has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.extra: Headers = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", []))
            present = {name for name, _ in headers}
            headers += [pair for pair in (*SAFE_HEADERS, *self.extra) if pair[0] not in present]
            message = {**message, "headers": headers}
        await self._send(message)


async def _send_error(error: BaseException, send: Send) -> None:
    if isinstance(error, asyncio.CancelledError):
        error = HeadraceError("The server stopped before this call was answered; try it again.")
        error.error_code, error.http_status = "TEMPORARILY_UNAVAILABLE", 503
    start, body = error_answer(error)
    await send(start)
    await send(body)


def _from_starlette(error: BaseException, scope: Scope) -> BaseException:
    """Starlette's own errors as ours."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 404:
        return not_served(scope["method"], scope["path"])
    return error_from_code("", str(error.detail), error.status_code)


def _run(function: Callable[[], Any], done: Done) -> None:
    try:
        answer = function()
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        done(None, error)
    else:
        done(answer, None)


def _check_json(headers: HeaderMap) -> None:
    found = headers.get(b"content-type")
    if found == b"application/json":
        return
    if found is None or found.split(b";")[0].strip().lower() != b"application/json":
        text = "missing" if found is None else shown(found.decode("latin-1"))
        raise InvalidRequest(
            f"The header 'Content-Type' is {text}; it must be one of ['application/json']."
        )


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _pattern(path: str) -> re.Pattern[str]:
    """A path with fields in braces as an expression. A key at the end may hold slashes."""
    text = re.sub(r"\\\{(\w*key)\\\}$", r"(?P<\1>.+)", re.escape(path))
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", text))


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is not HTTP: take part in start and stop, refuse WebSockets."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1003})
