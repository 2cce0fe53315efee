"""Connections that there is no room for."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.http.door import room_for
from headrace.http.settings import ListenSettings
from tests.fixtures.child_process import start_child
from tests.http.live_app import LiveApp, Reader, live_app

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
ROOM = 3


async def greet(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer anything."""
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture(scope="module")
def live() -> Iterator[LiveApp]:
    with live_app(greet, max_connections=ROOM) as server:
        yield server


def ask(connection: socket.socket, sent: bytes = GET) -> int:
    """The status of the answer to a request on a connection."""
    connection.sendall(sent)
    return Reader(connection).answer().status


def fill(live: LiveApp, stack: ExitStack) -> list[socket.socket]:
    """As many connections as there is room for."""
    found: list[socket.socket] = []
    while len(found) < ROOM:
        connection = stack.enter_context(live.connect())
        if ask(connection) == 200:  # else the server has not yet seen others close
            found.append(connection)
    return found


def test_one_too_many_is_told_so_and_closed_while_others_go_on(live: LiveApp) -> None:
    with ExitStack() as stack:
        kept = fill(live, stack)
        late = stack.enter_context(live.connect())
        reader = Reader(late)
        answer = reader.answer()
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert f"{ROOM} connections" in answer.json()["message"]
        assert reader.is_at_end()
        assert [ask(each) for each in kept] == [200] * ROOM
        assert len(live.connections()) == ROOM


def test_what_it_sends_meanwhile_does_not_cost_it_the_answer(live: LiveApp) -> None:
    with ExitStack() as stack:
        fill(live, stack)
        late = stack.enter_context(live.connect())
        body = b"x" * 300_000
        head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
        assert ask(late, head % len(body) + body) == 503


def test_there_is_room_again_when_somebody_leaves(live: LiveApp) -> None:
    with ExitStack() as stack:
        first = fill(live, stack)[0]
        first.close()
        status = 503
        while status == 503:
            status = ask(stack.enter_context(live.connect()))
        assert status == 200


def test_many_at_once_leave_no_more_than_there_is_room_for(live: LiveApp) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(live.connect()) for _ in range(200)]
        for each in crowd:
            with contextlib.suppress(OSError):  # those beyond the ones that are waited for
                each.sendall(GET)
        statuses: list[int] = []
        for each in crowd:
            with contextlib.suppress(OSError, AssertionError):
                statuses.append(Reader(each).answer().status)
        assert statuses.count(200) <= ROOM
        assert statuses.count(503) >= 64
        assert len(live.connections()) <= ROOM


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
    """Its soft limit is raised; beyond the room it goes on to answer, with each file left."""
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
            for _ in range(300):
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                stack.enter_context(connection)
                try:
                    connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    statuses.append(Reader(connection).answer().status)
                except (OSError, AssertionError):
                    statuses.append(0)
        assert statuses[:128] == [200] * 128
        assert set(statuses[128:]) <= {503, 0}
        assert statuses.count(503) >= 64
    finally:
        server.terminate()
        server.wait(30)
    assert "128 connections are open" in log.read_text()
    assert "Traceback" not in log.read_text()


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
        assert server.poll() is None, log.read_text()
    return int(found[1])
