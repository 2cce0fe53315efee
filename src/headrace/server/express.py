"""The express lane: whole small calls, from the parsed request to the written answer, in one go.

ASGI costs a task, a scope, an event and four messages for each request: more than all the work
of logging a metric. So the connection asks here first, and a call that is simple in every way
(a known path, a body of known and bounded length, a caller who need not be asked for anything)
skips all that. Everything else takes the ordinary way and gets the very same answers: both
lanes use the dispatcher's table, checks and error answers.

Writes of one round of the event loop are handed to the store together, so that they share a
commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from headrace.http.answers import EMPTY_START, Message, body_stopped, error_answer, json_start
from headrace.protocol.codec import decode, decode_query, encode
from headrace.protocol.wire import Empty
from headrace.server.completions import Completions

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body that are collected here; longer ones take the ordinary way."""

Respond = Callable[[bytes], None]


class Call(Protocol):
    """What the dispatcher's table says of a call."""

    submit: Any
    family: type[Any]
    has_body: bool
    here_from: float

    def answer_here(self, request: Any) -> bytes:
        """The encoded answer of a quick read."""
        ...


class Table(Protocol):
    """What the express lane needs of the dispatcher."""

    def find_express(
        self, method: str, path: str, headers: dict[bytes, bytes]
    ) -> tuple[Call, Completions] | None:
        """The call, if its caller may make it without being asked for anything."""
        ...


class _NobodyWaits:
    def set(self) -> None:
        """Uvicorn wakes whoever waits for the body; on this lane nobody does."""


_NOBODY_WAITS: Final = _NobodyWaits()


class Ride:
    """One request on the express lane. To uvicorn's connection it is the cycle under way."""

    __slots__ = (
        "body",
        "call",
        "completions",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "query",
        "response_complete",
    )

    def __init__(self, call: Call, completions: Completions, query: str) -> None:
        self.call = call
        self.completions = completions
        self.query = query
        self.body: list[bytes] = []
        self.more_body = True
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False
        self.message_event = _NOBODY_WAITS


class Express:
    """Finds calls that may take the lane, and answers them. Belongs to one event loop."""

    def __init__(
        self, table: Table, max_body_bytes: int = MAX_BODY, body_timeout: float = 60.0
    ) -> None:
        self.body_timeout = body_timeout
        """Seconds that a client may be silent in the middle of a body."""
        self._table = table
        self._max_body = min(MAX_BODY, max_body_bytes)
        self._waiting: list[tuple[Any, Any, Any]] = []

    def board(self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> Ride | None:
        """The ride for a request whose head is there, or None for the ordinary way."""
        known = dict(headers)
        length = known.get(b"content-length")
        if b"transfer-encoding" in known or b"expect" in known or b"origin" in known:
            return None
        if length is not None and (not length.isdigit() or int(length) > self._max_body):
            return None
        if b"#" in url:  # a fragment is no part of the query
            return None
        try:
            path, _, query = url.decode("ascii").partition("?")
        except UnicodeDecodeError:
            return None
        found = self._table.find_express(method.decode("ascii"), path, known)
        if found is None:
            return None
        call, completions = found
        if call.has_body and known.get(b"content-type") != b"application/json":
            return None
        if call.has_body != (length is not None) and length != b"0":
            return None
        return Ride(call, completions, query)

    def go(self, ride: Ride, respond: Respond) -> None:
        """Answer a request whose body is there; `respond` gets the bytes of the answer."""
        call = ride.call
        try:
            if call.has_body:
                request = decode(b"".join(ride.body), call.family)
            else:
                request = decode_query(ride.query, call.family)
            if call.submit is None:
                respond(_written(call.answer_here(request)))
                return
        except Exception as error:  # noqa: BLE001 - becomes an answer
            respond(_refused(error))
            return

        def answered(answer: Any, error: BaseException | None) -> None:
            if error is None:
                try:
                    respond(_EMPTY if type(answer) is Empty else _written(encode(answer)))
                    return
                except Exception as failure:  # noqa: BLE001 - becomes an answer
                    error = failure
            respond(_refused(error))

        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._waiting.append((call.submit, request, ride.completions.expect_call(answered)))

    def give_up(self, ride: Ride, respond: Respond) -> None:
        """Answer a request whose body does not come."""
        ride.more_body = False
        respond(_refused(body_stopped(sum(map(len, ride.body)), self.body_timeout)))

    def _hand_over(self) -> None:
        """Give the store all writes of this round at once."""
        waiting, self._waiting = self._waiting, []
        for submit, request, done in waiting:
            try:
                submit(request, done)
            except Exception as error:  # noqa: BLE001 - becomes an answer
                done(None, error)


def may_ride(call: Call) -> bool:
    """Whether a call is one that the lane takes: a write, or a quick read just now."""
    return call.submit is not None or call.here_from < time.monotonic()


def _head(message: Message) -> bytes:
    status: int = message["status"]
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))]
    lines += [b"%b: %b\r\n" % pair for pair in message["headers"]]
    return b"".join(lines)


_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_EMPTY: Final = _head(EMPTY_START) + b"\r\n{}"


def _written(body: bytes) -> bytes:
    return b"%b\r\n%b" % (_head(json_start(200, len(body))), body)


def _refused(error: BaseException) -> bytes:
    start, body = error_answer(error)
    return b"%b\r\n%b" % (_head(start), body["body"])
