"""What a client reads at once of an answer that is sent as head and body."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tests.http.live_app import live_app

ASKED = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"hello"})


def test_a_small_answer_comes_in_one_piece() -> None:
    with live_app(answer) as live, live.connect() as connection:
        for _ in range(3):
            connection.sendall(ASKED)
            assert connection.recv(1 << 16).endswith(b"\r\n\r\nhello")


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
