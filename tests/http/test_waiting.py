"""Clients that send one request after the other without waiting for answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headrace.http.bodies import Bodies
from headrace.http.settings import ListenSettings
from tests.http.live_app import LiveApp, Reader, live_app


class Held:
    """Answers with the path and the length of the body; `/hang` when it is told to, and it looks
    after its caller meanwhile, as the model server does.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.began = threading.Event()
        self.gone = threading.Event()
        self._bodies = Bodies(ListenSettings())
        self._release: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await self._bodies.whole(receive, dict(scope["headers"]))
        if scope["path"] == "/hang":
            await self._hang(receive)
        said = f"{scope['path']} {len(body)}".encode()
        length = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": said})

    def go_on(self) -> None:
        """Let `/hang` answer."""
        assert self.loop is not None
        assert self._release is not None
        self.loop.call_soon_threadsafe(self._release.set)

    async def _hang(self, receive: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._release = asyncio.Event()
        leaving = self.loop.create_task(receive())
        released = self.loop.create_task(self._release.wait())
        self.began.set()
        done, _ = await asyncio.wait((leaving, released), return_when=asyncio.FIRST_COMPLETED)
        if leaving in done:
            self.gone.set()
        else:
            leaving.cancel()
        released.cancel()


@pytest.fixture
def app() -> Held:
    return Held()


@pytest.fixture
def live(app: Held) -> Iterator[LiveApp]:
    with live_app(app) as server:
        yield server


def request(path: str, body: bytes = b"") -> bytes:
    """A request as it is sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def sending(connection: socket.socket, data: bytes) -> Iterator[None]:
    """Send in a thread, which ends with the block."""
    thread = threading.Thread(target=connection.sendall, args=(data,))
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("length", [0, 10, 5000, 200_000])
def test_all_are_answered_in_order(live: LiveApp, length: int) -> None:
    count = 200
    data = b"".join(request(f"/{number}", b"x" * length) for number in range(count))
    with live.connect() as connection, sending(connection, data):
        reader = Reader(connection)
        found = [reader.answer().body.decode() for _ in range(count)]
    assert found == [f"/{number} {length}" for number in range(count)]


def test_what_waits_behind_a_slow_one_is_bounded_and_answered_at_last(
    live: LiveApp, app: Held
) -> None:
    count = 20_000
    data = b"".join([request("/hang"), *(request(f"/{number}") for number in range(count))])
    with live.connect() as connection, sending(connection, data):
        assert app.began.wait(30)
        (held,) = live.connections()
        _wait_until_nothing_is_read(live)
        assert 16 < len(held.pipeline) < 300
        assert len(held._waiting.unparsed) <= 1 << 18
        app.go_on()
        reader = Reader(connection)
        assert reader.answer().body == b"/hang 0"
        found = [reader.answer().body.decode() for _ in range(count)]
    assert found == [f"/{number} 0" for number in range(count)]


def test_a_large_body_behind_a_slow_one_is_not_read(live: LiveApp, app: Held) -> None:
    body = b"x" * (30 << 20)
    with live.connect() as connection, sending(connection, request("/hang") + request("/", body)):
        assert app.began.wait(30)
        _wait_until_nothing_is_read(live)
        (held,) = live.connections()
        assert len(held.pipeline) == 1
        assert len(held.cycle.body) <= 2 << 20
        app.go_on()
        reader = Reader(connection)
        assert reader.answer().body == b"/hang 0"
        assert reader.answer().body == b"/ %d" % len(body)


@pytest.mark.parametrize("behind", [0, 3])
def test_the_request_under_way_learns_that_its_caller_is_gone(
    live: LiveApp, app: Held, behind: int
) -> None:
    with live.connect() as connection:
        connection.sendall(request("/hang") + request("/next") * behind)
        assert app.began.wait(30)
    assert app.gone.wait(30)


def test_a_caller_who_left_with_much_waiting_is_noticed_at_the_answer(
    live: LiveApp, app: Held
) -> None:
    with live.connect() as connection:
        connection.sendall(request("/hang") + request("/next") * 5000)
        assert app.began.wait(30)
        (held,) = live.connections()
    app.go_on()
    while live.connections():
        threading.Event().wait(0.01)
    assert not held.pipeline
    with live.connect() as connection:
        connection.sendall(request("/another"))
        assert Reader(connection).answer().body == b"/another 0"


def _wait_until_nothing_is_read(live: LiveApp) -> None:
    """Until the system takes no more from the client."""
    (held,) = live.connections()
    before = -1
    while not held.flow.read_paused or before != len(held.pipeline) + len(held.cycle.body):
        before = len(held.pipeline) + len(held.cycle.body)
        threading.Event().wait(0.2)


@pytest.mark.parametrize("reads", [True, False])
def test_an_answer_in_pieces_is_forgotten_where_nobody_reads_it(reads: bool) -> None:
    """One that is read, however slowly, is sent to its end."""
    ended = threading.Event()
    length = 30 << 20

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in range(length - (1 << 20), -1, -(1 << 20)):
            piece = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": left > 0}
            await send(piece)
        ended.set()

    with live_app(app, keep_alive=1) as live, live.connect() as connection:
        connection.sendall(request("/"))
        if reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            slowly = threading.Event()
            received = 0
            while data := connection.recv(1 << 20):
                received += len(data)
                slowly.wait(len(data) / (12 << 20))
                if received >= length:
                    break
            assert received > length
        assert ended.wait(30)
