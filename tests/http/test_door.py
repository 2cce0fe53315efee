"""Connections that there is no room for, and those that make room."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.http.door import Waits, room_for
from headrace.http.settings import ListenSettings
from tests.fixtures.child_process import start_child
from tests.http.live_app import LiveApp, Reader, live_app

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
HANG = GET.replace(b"/", b"/hang", 1)
EARLY = b"POST /early HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello"
LARGE = GET.replace(b"/", b"/large", 1)
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
)
ROOM = 3
LENGTH = 16 << 20
"""More than the system takes in advance."""


class Inn:
    """Answers with `hi`; `/hang` when told to, `/large` with much, `/early` before it has read
    the request.
    """

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self._released: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while scope["path"] != "/early" and (await receive()).get("more_body"):
            pass
        if scope["path"] == "/hang":
            self._loop = asyncio.get_running_loop()
            self._released = self._released or asyncio.Event()
            self.began.release()
            await self._released.wait()
        body = bytes(LENGTH) if scope["path"] == "/large" else b"hi"
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    def go_on(self) -> None:
        """Let `/hang` answer."""
        assert self._loop is not None
        assert self._released is not None
        self._loop.call_soon_threadsafe(self._released.set)


@pytest.fixture
def inn() -> Inn:
    return Inn()


@pytest.fixture
def live(inn: Inn) -> Iterator[LiveApp]:
    with live_app(inn, max_connections=ROOM) as server:
        yield server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def ask(connection: socket.socket, sent: bytes = GET) -> int:
    """The status of the answer to a request on a connection."""
    connection.sendall(sent)
    return Reader(connection).answer().status


def fill(live: LiveApp, inn: Inn, stack: ExitStack) -> list[socket.socket]:
    """As many connections as there is room for, all with a request under way."""
    found = [stack.enter_context(live.connect()) for _ in range(ROOM)]
    for each in found:
        each.sendall(HANG)
    for _ in found:
        assert inn.began.acquire(timeout=30)
    return found


def side_of(live: LiveApp, connection: socket.socket) -> Any:
    """The server's side of a connection, once it is there."""
    port = connection.getsockname()[1]
    while True:
        for each in live.connections():
            if each.client is not None and each.client[1] == port:
                return each
        threading.Event().wait(0.01)


def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    while not is_so():
        threading.Event().wait(0.01)


def since(side: Any) -> float:
    """Since when a connection has waited, once it does."""
    until(lambda: side.waits() is not None)
    return float(side.waits()[1])


def has_waited(side: Any) -> bool:
    """Whether a connection has waited for so long that it gives way."""
    waits = side.waits()
    return waits is not None and bool(waits[1] + 1 <= side.loop.time())


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes a connection, or sends something."""
    return connection.recv(1) == b""


def test_one_too_many_is_told_so_and_closed_while_others_go_on(
    live: LiveApp, inn: Inn, stack: ExitStack
) -> None:
    kept = fill(live, inn, stack)
    late = stack.enter_context(live.connect())
    reader = Reader(late)
    answer = reader.answer()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert f"{ROOM} connections" in answer.json()["message"]
    assert reader.is_at_end()
    assert len(live.connections()) == ROOM
    inn.go_on()
    assert [Reader(each).answer().status for each in kept] == [200] * ROOM


def test_what_it_sends_meanwhile_does_not_cost_it_the_answer(
    live: LiveApp, inn: Inn, stack: ExitStack
) -> None:
    fill(live, inn, stack)
    late = stack.enter_context(live.connect())
    body = b"x" * 300_000
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    assert ask(late, head % len(body) + body) == 503
    inn.go_on()


def test_there_is_room_again_when_somebody_leaves(
    live: LiveApp, inn: Inn, stack: ExitStack
) -> None:
    first, *_ = fill(live, inn, stack)
    first.close()
    until(lambda: len(live.connections()) < ROOM)
    assert ask(stack.enter_context(live.connect())) == 200
    inn.go_on()


def test_many_at_once_leave_no_more_than_there_is_room_for(
    live: LiveApp, inn: Inn, stack: ExitStack
) -> None:
    fill(live, inn, stack)
    crowd = [stack.enter_context(live.connect()) for _ in range(200)]
    for each in crowd:
        with contextlib.suppress(OSError):  # those beyond the ones that are waited for
            each.sendall(GET)
    statuses: list[int] = []
    for each in crowd:
        with contextlib.suppress(OSError, AssertionError):
            statuses.append(Reader(each).answer().status)
    assert set(statuses) == {503}
    assert len(statuses) >= 64
    assert len(live.connections()) == ROOM
    inn.go_on()


def test_who_was_idle_longest_gives_way(live: LiveApp, stack: ExitStack) -> None:
    kept = [stack.enter_context(live.connect()) for _ in range(ROOM)]
    assert [ask(each) for each in kept] == [200] * ROOM
    sides = [side_of(live, each) for each in kept]
    for again in (0, 2):  # so that the one in the middle asked last long before
        while since(sides[again]) <= since(sides[1]):
            assert ask(kept[again]) == 200
    until(lambda: all(map(has_waited, sides)))
    late = stack.enter_context(live.connect())
    assert ask(late) == 200
    assert is_closed(kept[1])
    assert [ask(each) for each in (kept[0], kept[2], late)] == [200] * ROOM
    assert len(live.connections()) == ROOM


def test_who_asked_just_now_stays(
    live: LiveApp, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.http.door._PATIENCE", (1.0, 3600.0, 10.0))  # now lasts long
    kept = [stack.enter_context(live.connect()) for _ in range(ROOM)]
    for _ in range(5):
        assert [ask(each) for each in kept] == [200] * ROOM
        assert ask(stack.enter_context(live.connect())) == 503


def test_who_never_asked_gives_way_before_those_who_did(live: LiveApp, stack: ExitStack) -> None:
    asked = [stack.enter_context(live.connect()) for _ in range(ROOM - 1)]
    assert [ask(each) for each in asked] == [200] * (ROOM - 1)
    silent = stack.enter_context(live.connect())
    sides = [side_of(live, each) for each in (*asked, silent)]
    assert sides[-1].waits()[0] is Waits.FIRST_REQUEST
    until(lambda: all(map(has_waited, sides)))
    assert ask(stack.enter_context(live.connect())) == 200
    assert is_closed(silent)
    assert [ask(each) for each in asked] == [200] * (ROOM - 1)


@pytest.mark.parametrize(
    ("part", "rest"),
    [
        (GET[:9], GET[9:]),
        (b"\r\n", GET),
        (GET + GET[:1], GET[1:]),
        (POST[:-5], POST[-5:]),
        (POST[:-2], POST[-2:]),
        (CHUNKED[:-4], CHUNKED[-4:]),
        (EARLY[:-2], EARLY[-2:] + GET),
        (HANG, b""),
        (LARGE, b""),
    ],
)
def test_who_is_in_the_middle_of_something_does_not_give_way(
    live: LiveApp, inn: Inn, stack: ExitStack, part: bytes, rest: bytes
) -> None:
    busy = stack.enter_context(live.connect())
    busy.sendall(part)
    idle = [stack.enter_context(live.connect()) for _ in range(ROOM - 1)]
    assert [ask(each) for each in idle] == [200] * (ROOM - 1)
    sides = [side_of(live, each) for each in idle]
    until(lambda: all(map(has_waited, sides)))
    late = [stack.enter_context(live.connect()) for _ in idle]
    assert [ask(each) for each in late] == [200] * (ROOM - 1)
    assert all(map(is_closed, idle))
    if part == HANG:
        inn.go_on()
    busy.sendall(rest)
    reader = Reader(busy)
    lengths = [len(reader.answer().body) for _ in range((part + rest).count(b" HTTP/"))]
    assert lengths[-1] == (LENGTH if part == LARGE else 2)


def test_heads_that_never_end_give_way_at_last(
    live: LiveApp, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.http.door._PATIENCE", (1.0, 1.0, 1.0))  # 10 s otherwise
    slow = [stack.enter_context(live.connect()) for _ in range(ROOM)]
    for each in slow:
        each.sendall(GET[:9])
    until(lambda: all(has_waited(side_of(live, each)) for each in slow))
    late = [stack.enter_context(live.connect()) for _ in range(ROOM)]
    assert [ask(each) for each in late] == [200] * ROOM
    assert all(map(is_closed, slow))


def test_a_crowd_that_does_nothing_leaves_room_for_those_who_ask(
    live: LiveApp, stack: ExitStack
) -> None:
    crowd = [stack.enter_context(live.connect()) for _ in range(100)]
    status = 503
    while status == 503:
        with live.connect() as connection:
            status = ask(connection)
    assert status == 200
    for each in crowd:
        each.close()


@pytest.mark.parametrize("count", [0, -1])
def test_no_room_at_all_is_a_mistake(count: int) -> None:
    with pytest.raises(InvalidRequest, match="1 or more"):
        ListenSettings(max_connections=count)


def test_room_that_the_system_does_not_give_is_a_mistake() -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with pytest.raises(InvalidRequest, match="ulimit"):
        room_for(files)
    assert room_for(files - 128) == files - 128


def test_a_server_takes_half_of_what_the_system_lets_it_open(tmp_path: Path) -> None:
    """Its soft limit is raised; beyond the room idle ones give way, and it answers each time."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256));"
        "from headrace.cli.main import main; sys.exit(main())"
    )
    log = tmp_path / "log"
    server = start_child(
        [sys.executable, "-c", code, "server", "--port", "0"],
        log=log,
        parent_death_signal=signal.SIGKILL,
        cwd=tmp_path,
    )
    try:
        port = _port(server, log)
        with ExitStack() as stack:
            statuses: list[int] = []
            while statuses.count(200) < 200:
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                statuses.append(_health(connection))
                if statuses[-1] == 200:
                    stack.enter_context(connection)
                else:
                    connection.close()
            assert statuses[:128] == [200] * 128
            assert set(statuses[128:]) <= {200, 503, 0}
    finally:
        server.terminate()
        server.wait(30)
    assert "128 connections are open" in log.read_text()
    assert "Traceback" not in log.read_text()


def _health(connection: socket.socket) -> int:
    try:
        return ask(connection, GET.replace(b"/", b"/health", 1))
    except (OSError, AssertionError):
        return 0


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
        assert server.poll() is None, log.read_text()
    return int(found[1])
