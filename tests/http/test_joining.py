"""When an answer that is made as head and body is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from headrace.http.joining import JoinedHead
from tests.http.live_app import live_app

ASKED = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}


class Written(asyncio.Transport):
    """The calls that a system call is made for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.calls.append(b"".join(list_of_data))


def test_head_and_body_are_one_write_and_the_rest_is_as_it_comes() -> None:
    async def sent() -> list[bytes]:
        written = Written()
        joined = JoinedHead(written, asyncio.get_running_loop())
        for piece in (b"head ", b"body ", b"more ", b"end"):
            joined.write(piece)
        await asyncio.sleep(0)
        return written.calls

    assert asyncio.run(sent()) == [b"head body ", b"more ", b"end"]


def test_a_body_that_is_late_does_not_hold_its_head_back() -> None:
    go_on = threading.Event()

    async def stream(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        await asyncio.to_thread(go_on.wait, 60)
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})
        await send({"type": "http.response.body", "body": b"lo"})

    with live_app(stream) as live, live.connect() as connection:
        connection.sendall(ASKED)
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n")
        go_on.set()
        assert b"".join(iter(lambda: connection.recv(1), b"o")) == b"hell"


def test_a_head_without_its_body_is_sent_before_the_connection_ends() -> None:
    async def fail(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        raise RuntimeError("the application failed in the middle of its answer")

    with live_app(fail) as live, live.connect() as connection:
        connection.sendall(ASKED)
        assert b"".join(iter(lambda: connection.recv(1 << 16), b"")).startswith(b"HTTP/1.1 200 OK")


async def answer_without_body(_scope: Any, _receive: Any, send: Any) -> None:
    await send({**START, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def test_a_head_that_has_no_body_is_sent_before_anything_else_can_be() -> None:
    was_read = threading.Event()
    found = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await answer_without_body(scope, receive, send)
        found.append(was_read.wait(20))  # in the loop: nothing else is done meanwhile

    with live_app(answer) as live, live.connect() as connection:
        connection.sendall(ASKED.replace(b"GET", b"HEAD"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        was_read.set()
    assert found == [True]


def test_a_connection_that_ends_below_a_head_fills_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with live_app(answer_without_body) as live, live.connect() as connection:
        connection.sendall(ASKED.replace(b"GET", b"HEAD") + b"no HTTP\r\n\r\n")
        assert connection.recv(1) == b""
    assert not caplog.records
