"""What a connection makes of requests that are unlike those of most clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.http.live_app import LiveApp, Reader, body_of, live_app

UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
"""What Java's own client sends with every first request over HTTP, and curl with --http2."""
NEXT = b"GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Say what was asked."""
    body = await body_of(receive)
    if body is None:
        return
    said = b"%b %b %b" % (scope["method"].encode(), scope["raw_path"], body)
    length = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture(scope="module")
def live() -> Iterator[LiveApp]:
    with live_app(tell) as server:
        yield server


@pytest.mark.parametrize("rest", [b"content-length: 5\r\n\r\nhello", CHUNKED])
@pytest.mark.parametrize("cut", [0, 1, 4])
def test_whoever_offers_another_protocol_is_answered_in_this_one(
    live: LiveApp, rest: bytes, cut: int
) -> None:
    """RFC 9110, 7.8: a server may ignore it. The body belongs to the request all the same."""
    sent = b"POST /a?b HTTP/1.1\r\nhost: localhost\r\n" + UPGRADE + rest
    with live.connect() as connection:
        reader = Reader(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        split = len(sent) - cut
        connection.sendall(sent[:split])
        connection.sendall(sent[split:] + NEXT)
        assert reader.answer().body == b"POST /a hello"
        assert reader.answer().body == b"GET /next "


def test_one_without_a_body_is_answered_and_so_is_the_next(live: LiveApp) -> None:
    with live.connect() as connection:
        reader = Reader(connection)
        connection.sendall((b"GET /a HTTP/1.1\r\nhost: localhost\r\n" + UPGRADE + b"\r\n") * 2)
        connection.sendall(NEXT)
        bodies = [reader.answer().body for _ in range(3)]
        assert bodies == [b"GET /a ", b"GET /a ", b"GET /next "]


def test_a_server_is_no_proxy(live: LiveApp) -> None:
    with live.connect() as connection:
        connection.sendall(b"CONNECT example.org:80 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        reader = Reader(connection)
        assert reader.answer().status == 400
        assert reader.is_at_end()


@pytest.mark.parametrize("drop", [b"a", b"\r\n"])
def test_a_head_that_never_ends_has_an_end(drop: bytes) -> None:
    """However often a little of it comes: else each holds a place, at the cost of a byte."""
    with live_app(tell, keep_alive=1) as server, server.connect() as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nhost: localhost\r\nx: " if drop == b"a" else drop)
        connection.settimeout(0.1)
        for _ in range(300):
            try:
                connection.sendall(drop)
                ended = not connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                ended = True
            assert ended
            return
        pytest.fail("it is still open")


def test_a_head_has_all_of_its_time_after_an_idle_while() -> None:
    with live_app(tell, keep_alive=2) as server, server.connect() as connection:
        reader = Reader(connection)
        connection.settimeout(1.2)
        for part in (NEXT, NEXT[:20]):
            connection.sendall(part)
            if part == NEXT:
                assert reader.answer().status == 200
            with pytest.raises(TimeoutError):
                connection.recv(1)
        connection.sendall(NEXT[20:])
        assert reader.answer().status == 200


@pytest.mark.parametrize(
    "second",
    [
        b"POST /b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n",
        b"POST /b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5;"
        + b"x" * (1 << 17),
        b"GET http://localhost HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
    ids=["chunks", "length", "target", "line"],
)
def test_the_refusal_of_one_is_not_read_as_the_answer_to_another(second: bytes) -> None:
    async def never(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    with live_app(never) as live, live.connect() as connection:
        connection.sendall(NEXT + second)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
