"""Callers that do not read what they have asked for."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from tests.serving.models import asked
from tests.serving.served import ServingLauncher, ServingProcess
from tests.serving.waiting import wait_until


@pytest.fixture(scope="module")
def server(unruly: Path, shared_serving_process: ServingLauncher) -> ServingProcess:
    """A server that keeps idle connections for a second."""
    return shared_serving_process(unruly, keep_alive=1)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_an_answer_that_nobody_reads_is_not_kept_for_ever(
    server: ServingProcess, connection: str
) -> None:
    body = asked(("long", 20 << 20))
    head = (
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"connection: {connection}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(head.encode() + body)
        assert client.recv(12) == b"HTTP/1.1 200"
        place = client.getsockname()
        wait_until(lambda: place not in _clients(server))


def _clients(server: ServingProcess) -> list[tuple[object, ...]]:
    """The other ends of its connections."""
    return [tuple(each.raddr) for each in psutil.Process(server.process.pid).net_connections()]
