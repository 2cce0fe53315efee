"""PostgreSQL goes away and comes back: a clear 503 meanwhile, and no restart of ours is needed."""

from __future__ import annotations

import pytest

from tests.crash.load import Caller, Refused, Writer, wait_for_writes, writing
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.servers import ServerLauncher

LEAKS = ("psycopg", "sqlalchemy", "Traceback", "SELECT", "INSERT", "postgres@")


def refusal(caller: Caller, method: str, path: str, document: object = None) -> Refused:
    with pytest.raises(Refused) as caught:
        caller.call(method, path, document)
    refused = caught.value
    assert set(refused.answer) == {"error_code", "message"}
    assert not any(word in refused.answer["message"] for word in LEAKS), refused.answer
    return refused


def test_the_server_waits_for_its_database(
    start_server: ServerLauncher, postgres: PostgresServer, postgres_uri: str
) -> None:
    server = start_server(backend_store_uri=postgres_uri)
    before = [Writer(number) for number in range(4)]
    with writing(server.port, before):
        wait_for_writes(before, 5)
        postgres.stop()
        try:
            with Caller(server.port) as caller:
                write = refusal(caller, "POST", "runs/create", {"experiment_id": "0"})
                read = refusal(caller, "GET", "experiments/get?experiment_id=0")
        finally:
            postgres.start()
    for refused in (write, read):
        assert refused.status == 503
        assert refused.answer["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert server.process.poll() is None
    for writer in before:
        assert set(writer.refusals) <= {(503, "TEMPORARILY_UNAVAILABLE")}
        assert writer.unanswered is None
    after = [Writer(number) for number in range(4)]
    with writing(server.port, after):
        wait_for_writes(after, 5)
    with Caller(server.port) as caller:
        for writer in after:
            assert not writer.refusals
            writer.check(caller)
        for writer in before:
            # A commit whose answer was lost with the connection may stand though we said 503.
            assert set(writer.points) <= set(writer.history(caller, "one"))
    assert "Traceback" not in server.log


def test_every_pooled_connection_may_be_dead(
    start_server: ServerLauncher, postgres: PostgresServer, postgres_uri: str
) -> None:
    server = start_server(backend_store_uri=postgres_uri)
    with Caller(server.port) as caller:
        caller.call("GET", "experiments/get?experiment_id=0")
        caller.post("runs/create", experiment_id="0")
        postgres.stop()
        postgres.start()
        # The first call after it finds a dead connection: that is our affair, not the caller's.
        caller.call("GET", "experiments/get?experiment_id=0")
        caller.post("runs/create", experiment_id="0")
