"""SIGTERM under load: what is under way is answered, what comes later is refused."""

from __future__ import annotations

import signal

import pytest

from tests.crash.load import Caller, Writer, wait_for_writes, writing
from tests.fixtures.servers import ServerLauncher


def stop_and_check(start_server: ServerLauncher, database_uri: str) -> None:
    server = start_server(backend_store_uri=database_uri)
    writers = [Writer(number) for number in range(8)]
    with writing(server.port, writers):
        wait_for_writes(writers, 5)
        server.process.send_signal(signal.SIGTERM)
        # Less than the 30 seconds that calls under way may take: these take none.
        assert server.process.wait(timeout=20) == 0, server.log
    assert "Traceback" not in server.log
    server = start_server(backend_store_uri=database_uri)
    with Caller(server.port) as caller:
        for writer in writers:
            writer.check(caller, strictly=True)
    server.kill()


def test_what_is_written_is_answered(start_server: ServerLauncher, database_uri: str) -> None:
    stop_and_check(start_server, database_uri)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_what_is_written_is_answered_many_times(
    start_server: ServerLauncher, database_uri: str
) -> None:
    for _ in range(20):
        stop_and_check(start_server, database_uri)


def test_an_idle_connection_does_not_hold_the_server_up(start_server: ServerLauncher) -> None:
    server = start_server()
    with Caller(server.port) as idle:
        idle.call("GET", "experiments/get?experiment_id=0")
        assert server.stop() == 0  # which waits for less than calls under way may take


def test_ctrl_c_is_a_polite_end_too(start_server: ServerLauncher) -> None:
    server = start_server()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=20) in (0, 130)
    assert "Traceback" not in server.log
