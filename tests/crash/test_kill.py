"""SIGKILL of the server at random moments under load: every acknowledged value is there once."""

from __future__ import annotations

import random
import sqlite3
import time

import pytest

from tests.crash.load import Caller, Writer, wait_for_writes, writing
from tests.fixtures.servers import ServerLauncher

WRITERS = 8


def kill_and_check(start_server: ServerLauncher, database_uri: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged = 0
    server = start_server(backend_store_uri=database_uri)
    for _ in range(kills):
        writers = [Writer(number) for number in range(WRITERS)]
        with writing(server.port, writers):
            wait_for_writes(writers, 3)
            time.sleep(chance.uniform(0, 0.5))
            server.kill()
        acknowledged += sum(len(writer.points) + len(writer.batches) for writer in writers)
        server = start_server(backend_store_uri=database_uri)
        with Caller(server.port) as caller:
            for writer in writers:
                writer.check(caller)
    server.kill()
    assert acknowledged >= kills * WRITERS * 3
    if database_uri.startswith("sqlite"):
        path = database_uri.removeprefix("sqlite:///")
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_nothing_acknowledged_is_lost(start_server: ServerLauncher, database_uri: str) -> None:
    kill_and_check(start_server, database_uri, kills=2, seed=7)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost_in_many_kills(
    start_server: ServerLauncher, database_uri: str
) -> None:
    kill_and_check(start_server, database_uri, kills=25, seed=int(time.time()))
