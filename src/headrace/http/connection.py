"""The HTTP side of one connection: uvicorn's, with limits.

The parser that uvicorn uses takes headers of any length, and uvicorn waits for the end of a
request for ever, takes any number of connections, and of requests before it has answered the first.
All are bounded here, and what cannot be parsed is answered in JSON like everything else. Whoever
offers another protocol (Java's client does, with each first request) is answered in this one: the
parser would leave out the body of such a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.errors import InvalidRequest
from headrace.http.door import Door, Waits, refusal, room_for
from headrace.http.guard import check_header, check_target
from headrace.http.joining import JoinedHead
from headrace.http.settings import ListenSettings
from headrace.http.waiting import PIECE, HeldFlow, Waiting

_UNREAD: Final = 1 << 16
"""Bytes of an answer that wait to be sent, beyond which somebody looks after them."""
_CHECKED: Final = frozenset({b"host", b"transfer-encoding", b"expect"})
"""Headers that say who is asked, or how; the parser has seen to Content-Length."""
_SLASH: Final = ord("/")
_INVALID: Final = "Invalid HTTP request received."


def connection_class(
    settings: ListenSettings, kind: type[Connection] | None = None, **parts: Any
) -> type[asyncio.Protocol]:
    """The protocol class for the connections of one server: of this `kind`, with these `parts`.

    Raises InvalidRequest where the system does not allow as many as the settings want.
    """
    bounds = {
        "max_head_bytes": settings.max_head_bytes,
        "door": Door(room_for(settings.max_connections)),
    }
    return type("BoundConnection", (kind or Connection,), {**bounds, **parts})


class Connection(HttpToolsProtocol):
    """One connection. `uvicorn` makes it and calls its methods."""

    max_head_bytes: int
    door: Door
    flow: HeldFlow

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading_head = True
        self._head_bytes = 0
        self._had_body = False
        self._body_bytes = 0
        self._running: Any = None
        self._waiting = Waiting()
        self._drained = 0
        self._reader_watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn: all of ours are Transports
        """Start the clock: a connection that never asks anything is closed like an idle one."""
        if not self.door.admits(self.connections):
            self.door.turn_away(transport)
            return
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed: tell the request under way, which need not be the last one that came."""
        super().connection_lost(exc)
        self.pipeline.clear()
        self._waiting = Waiting()
        if self._reader_watch is not None:
            self._reader_watch.cancel()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client: as many requests as may wait, and keep the rest for later."""
        flow = self.flow
        at = 0
        if len(data) <= PIECE and not flow.is_held:  # nearly always
            at = len(data)
            self._parse(data)
        while at < len(data) and not flow.is_held and not self.transport.is_closing():
            end = at + max(PIECE, self._body_left())
            self._parse(memoryview(data)[at:end])
            at = end
        if at < len(data):
            self._waiting.unparsed += data[at:]

    def _parse(self, data: bytes | memoryview) -> None:
        self._had_body = False
        if not getattr(self.cycle, "response_complete", True):
            self._unset_keepalive_if_required()  # more of the request came, as was waited for
        self._feed(data)
        if self.pipeline:
            self._waiting.add(len(data))
            if self._waiting.is_too_much(len(self.pipeline)):
                self.flow.is_held = True
                self.flow.pause_reading()
        if self.transport.is_closing():
            return
        if not self._had_body:  # else nobody knows how much of it was a head
            self._head_bytes += len(data)
        cycle: Any = self.cycle  # None before the first request
        if self._head_bytes > self.max_head_bytes:
            self._refuse(
                b"431 Request Header Fields Too Large",
                f"The request line and headers have more than {self.max_head_bytes} bytes.",
            )
        elif getattr(cycle, "response_complete", True):
            self._wait_for_head()
        else:
            self._await_more(cycle)

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserCallbackError as error:
            ours = error.__context__
            self.send_400_response(ours.message if isinstance(ours, InvalidRequest) else _INVALID)
        except HttpParserError:
            self.send_400_response(_INVALID)
        except HttpParserUpgrade as upgrade:
            self._begin_without_upgrade(bytes(data[upgrade.args[0] :]))

    def _begin_without_upgrade(self, rest: bytes) -> None:
        """Begin the request whose head was just read anew, as one that offers no other protocol;
        `rest` came behind its head. A server may ignore such an offer (RFC 9110, 7.8).
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response(_INVALID)
            return
        head = [method, b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._feed(b"".join([*head, b"\r\n", rest]))

    def on_message_begin(self) -> None:
        """A request begins. All of its head must come in the time that nothing may come in."""
        self._unset_keepalive_if_required()
        self._reading_head = True
        self._head_bytes = 1  # the one that it begins with, whatever it came with
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers. Those behind a body change nothing: what they name is decided."""
        if not self._reading_head:
            return
        name = name.lower()
        if name in _CHECKED and (self.headers or name != b"host"):  # nearly always it comes first
            check_header(name, value, self.headers)
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        if self.parser.should_upgrade():
            return  # it is begun anew
        self._check_target()
        super().on_headers_complete()
        self._head_is_there()

    def on_body(self, body: bytes) -> None:
        """A piece of its body is there."""
        self._body_comes(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there; what comes next is the head of another."""
        if self.parser.should_upgrade():
            return
        self._message_is_there()
        super().on_message_complete()

    def _check_target(self) -> None:
        if self.url[0] != _SLASH:
            check_target(self.url, self.headers)

    def _head_is_there(self) -> None:
        """It is in order, and its request under way or waiting."""
        self._reading_head = False
        self._body_bytes = 0
        self._head_bytes = 0  # from here on: of the trailers, which a body in chunks may have
        self._unset_keepalive_if_required()  # an answer in this very read may have set it

    def _body_comes(self, length: int) -> None:
        self._had_body = True
        self._body_bytes += length
        self._head_bytes = 0

    def _body_left(self) -> int:
        """How many of the next bytes are of a body for sure, and no requests."""
        if self._reading_head:
            return 0
        told = next((value for name, value in self.headers if name == b"content-length"), b"")
        return int(told) - self._body_bytes if told.isdigit() else 0

    def _message_is_there(self) -> None:
        self._reading_head = True
        self._head_bytes = 0
        self._had_body = True

    def _await_more(self, cycle: Any) -> None:
        """A request is under way, and more of it may come."""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        cycle.transport = JoinedHead(self.transport, self.loop)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is written, though perhaps not read."""
        if self._running is not None:
            self._running.transport.flush()  # before another one is written
        super().on_response_complete()
        if self.flow.is_held:
            self.loop.call_soon(self._go_on)  # not at once: the parser may be what called us
        if self.transport.get_write_buffer_size() > _UNREAD:
            self._wait_for_reader()

    def _go_on(self) -> None:
        """Take what came while too much waited, and more."""
        flow, waiting = self.flow, self._waiting
        if not flow.is_held or waiting.is_too_much(len(self.pipeline)):
            return
        flow.is_held = False
        unparsed, waiting.unparsed = waiting.unparsed, b""
        if not self.transport.is_closing():
            self.data_received(unparsed)
            flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for long."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()

    def pause_writing(self) -> None:
        """Enough of an answer waits to be read; what makes it waits, too."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """What waited was read."""
        self._drained += 1
        super().resume_writing()

    def _wait_for_reader(self) -> None:
        if self._reader_watch is None:
            self._reader_watch = self.loop.call_later(
                self.timeout_keep_alive, self._end_unread, self._read_so_far()
            )

    def _read_so_far(self) -> tuple[int, int]:
        """Another pair after something was read, or written."""
        return self._drained, self.transport.get_write_buffer_size()

    def _end_unread(self, before: tuple[int, int]) -> None:
        """Forget an answer of which nothing was read since `before`: to close the connection would
        wait for its reader for ever.
        """
        self._reader_watch = None
        if self.transport.get_write_buffer_size():
            if self._read_so_far() == before:
                self.transport.abort()
            else:
                self._wait_for_reader()

    def waits(self) -> tuple[Waits, float] | None:
        """What it waits for, and since when on the loop's clock; None while there is anything to
        answer, to send or to read. See `Door`.
        """
        timer = self.timeout_keep_alive_task
        cycle: Any = self.cycle
        if (
            timer is None
            or not self._reading_head
            or not getattr(cycle, "response_complete", True)
            or self.transport.is_closing()
            or self.transport.get_write_buffer_size()
        ):
            return None
        since = timer.when() - self.timeout_keep_alive
        if self._head_bytes:
            return Waits.REST_OF_HEAD, since
        return Waits.FIRST_REQUEST if cycle is None else Waits.NEXT_REQUEST, since

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and hang up."""
        self._refuse(b"400 Bad Request", msg)

    def _wait_for_head(self) -> None:
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _refuse(self, status: bytes, message: str) -> None:
        self._unset_keepalive_if_required()
        cycle: Any = self.cycle
        is_under_way = not getattr(cycle, "response_complete", True)
        if self.pipeline or (
            is_under_way and (self._reading_head or getattr(cycle, "response_started", False))
        ):
            self.transport.close()  # what we say now would be read as the answer under way
            return
        self.transport.write(refusal(status, "BAD_REQUEST", message))
        self.transport.close()
