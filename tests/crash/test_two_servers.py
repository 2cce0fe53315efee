"""Several servers, or several workers, on one PostgreSQL: nothing lost, no deadlock, one truth."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.crash.load import Caller, Writer, point, wait_for_writes, writing
from tests.fixtures.servers import RunningServer, ServerLauncher

KEYS = [f"k{number}" for number in range(12)]


def write_the_same_runs(port: int, run_ids: list[str], seed: int, rounds: int) -> int:
    """Batches over the same runs and keys in a random order; the highest step written."""
    chance = random.Random(seed)
    highest = 0
    with Caller(port) as caller:
        for number in range(rounds):
            highest = number * 100 + seed
            keys = chance.sample(KEYS, len(KEYS))
            metrics = [{**point(key, highest)} for key in keys]
            tags = [{"key": f"t{name}", "value": str(highest)} for name in keys]
            for run_id in chance.sample(run_ids, len(run_ids)):
                caller.post("runs/log-batch", run_id=run_id, metrics=metrics, tags=tags)
    return highest


def check_same_runs(servers: list[RunningServer], rounds: int) -> None:
    """Writers on all servers at once, on the same rows, and what stands in the end."""
    with Caller(servers[0].port) as caller:
        made: list[Any] = [caller.post("runs/create", experiment_id="0") for _ in range(3)]
    run_ids = [each["run"]["info"]["run_id"] for each in made]
    writers = 8
    with ThreadPoolExecutor(writers) as pool:
        futures = [
            pool.submit(
                write_the_same_runs, servers[number % len(servers)].port, run_ids, number, rounds
            )
            for number in range(writers)
        ]
        highest = max(future.result() for future in futures)
    for server in servers:
        with Caller(server.port) as caller:
            for run_id in run_ids:
                data = caller.call("GET", f"runs/get?run_id={run_id}")["run"]["data"]
                latest = {item["key"]: item["value"] for item in data["metrics"]}
                assert latest == dict.fromkeys(KEYS, float(highest))
                path = f"metrics/get-history?run_id={run_id}&metric_key=k3"
                found = caller.call("GET", path)["metrics"]
                expected = [n * 100 + w for n in range(rounds) for w in range(writers)]
                assert sorted(item["value"] for item in found) == expected


def test_two_servers_write_the_same_runs(start_server: ServerLauncher, postgres_uri: str) -> None:
    # Both find an empty database at the same time.
    servers = [start_server(backend_store_uri=postgres_uri, wait=False) for _ in range(2)]
    for server in servers:
        server.wait_until_healthy()
    check_same_runs(servers, rounds=6)


def test_two_workers_are_one_server(start_server: ServerLauncher, postgres_uri: str) -> None:
    server = start_server(backend_store_uri=postgres_uri, workers=2)
    check_same_runs([server], rounds=6)
    writers = [Writer(number) for number in range(6)]
    with writing(server.port, writers):
        wait_for_writes(writers, 10)
    with Caller(server.port) as caller:
        for writer in writers:
            writer.check(caller, strictly=True)
    assert server.stop() == 0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_servers_write_the_same_runs_for_long(
    start_server: ServerLauncher, postgres_uri: str
) -> None:
    servers = [start_server(backend_store_uri=postgres_uri) for _ in range(3)]
    check_same_runs(servers, rounds=150)


def test_sqlite_takes_one_worker_and_says_why(start_server: ServerLauncher) -> None:
    server = start_server(workers=2, wait=False)
    assert server.process.wait(timeout=20) == 2
    assert "SQLite" in server.log
    assert "PostgreSQL" in server.log
    assert "Traceback" not in server.log
