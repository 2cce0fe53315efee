"""Several processes, and several servers, on one database."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest

from headrace.errors import Unavailable
from headrace.protocol import metrics, runs
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.testing.store_builders import (
    as_dict,
    get_experiment,
    get_run,
    history,
    latest,
    log_point,
    new_experiment,
    new_run,
    outcomes,
    unique,
)
from tests.fixtures.postgres import PostgresServer
from tests.store import logging_process


def write_from_processes(uri: str, processes: int, points: int) -> None:
    """Each process logs points of its own to one run, while this one reads and writes too."""
    store = open_store(uri)
    run_id = new_run(store)
    started = [
        logging_process.start(uri, run_id, number * points, points) for number in range(processes)
    ]
    while any(process.poll() is None for process in started):
        log_point(store, run_id, "own", 1.0, 1, len(history(store, run_id, "m")))
    assert [process.wait() for process in started] == [0] * processes
    for process in started:
        assert process.stdout is not None
        assert process.stdout.read().count(b"done") == points
        process.stdout.close()
    count = processes * points
    assert sorted(point.step for point in history(store, run_id, "m")) == list(range(count))
    assert latest(store, run_id)["m"] == (count - 1, count - 1, repr(float(count - 1)))
    params = as_dict(get_run(store, run_id).data.params)
    assert params == {f"p{n}": str(n) for n in range(0, count, 2)}
    store.close()


def test_processes_share_a_database(database_uri: str) -> None:
    write_from_processes(database_uri, processes=4, points=60)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_many_processes_share_a_sqlite_file(sqlite_uri: str) -> None:
    write_from_processes(sqlite_uri, processes=32, points=40)


def test_stores_opened_at_once_make_one_schema(database_uri: str) -> None:
    opened = outcomes([lambda: open_store(database_uri)] * 6)
    stores = [store for store in opened if isinstance(store, Store)]
    assert len(stores) == 6, opened
    ids = {new_experiment(store) for store in stores}
    assert len(ids) == 6
    for store in stores:
        assert get_experiment(store, "0").name == "Default"
        store.close()


def test_processes_started_at_once_make_one_schema(database_uri: str) -> None:
    program = "import sys; from headrace.store.open import open_store; open_store(sys.argv[1])"
    words = [sys.executable, "-c", program, database_uri]
    started = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]


@pytest.fixture
def two_stores(postgres_uri: str) -> Iterator[tuple[Store, Store]]:
    """Two servers' stores on one PostgreSQL."""
    stores = (open_store(postgres_uri), open_store(postgres_uri))
    yield stores
    for store in stores:
        store.close()


def test_two_servers_write_the_same_runs(
    two_stores: tuple[Store, Store], postgres_uri: str
) -> None:
    ids = [new_run(two_stores[0]) for _ in range(6)]
    writers, rounds = 8, 12

    def write(number: int) -> None:
        store, chance = two_stores[number % 2], random.Random(number)
        for i in range(rounds):
            step = i * writers + number
            for run_id in chance.sample(ids, len(ids)):
                store.runs.log_batch(
                    runs.LogBatch(
                        run_id=run_id,
                        metrics=[metrics.Metric(key, step, 1, step) for key in ("a", "b")],
                        params=[Param(unique("p"), "v"), Param("same", "v")],
                        tags=[Tag(key, str(step)) for key in ("x", "y", unique("t"))],
                    )
                )
                store.runs.update(runs.UpdateRun(run_id=run_id, end_time=step))

    assert outcomes([partial(write, n) for n in range(writers)]) == [None] * writers
    count = writers * rounds
    for run_id in ids:
        for store in two_stores:
            newest = (1, count - 1, repr(float(count - 1)))
            assert latest(store, run_id) == {"a": newest, "b": newest}
        assert [point.step for point in history(store, run_id, "b")] == list(range(count))
        data = get_run(store, run_id).data
        assert (len(data.params), len(data.tags)) == (count + 1, count + 3)
    for store in two_stores:
        store.close()  # a connection hands in its figures when it ends
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with psycopg.connect(postgres_uri) as connection:
        assert connection.execute(deadlocks).fetchone() == (0,)


def test_two_servers_disagree_on_a_param(two_stores: tuple[Store, Store]) -> None:
    run_id = new_run(two_stores[0])
    for i in range(20):
        key = f"p{i}"

        def log(store: Store, value: str, key: str = key) -> str:
            store.runs.log_param(runs.LogParam(run_id=run_id, key=key, value=value))
            return value

        found = outcomes([partial(log, two_stores[n], str(n)) for n in range(2)])
        won = [each for each in found if isinstance(each, str)]
        assert len(won) == 1, found
        assert as_dict(get_run(two_stores[0], run_id).data.params)[key] == won[0]


def test_lost_connections_are_opened_again(
    two_stores: tuple[Store, Store], postgres_uri: str
) -> None:
    store = two_stores[0]
    run_id = new_run(store)
    get_run(store, run_id)
    for i in range(3):
        with psycopg.connect(postgres_uri, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        log_point(store, run_id, unique("m"), 1.0, 1, i)
        assert len(get_run(store, run_id).data.metrics) == i + 1


def test_a_stopped_database_is_unavailable_until_it_is_back(
    two_stores: tuple[Store, Store], postgres: PostgresServer
) -> None:
    store = two_stores[0]
    run_id = new_run(store)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match="PostgreSQL"):
                log_point(store, run_id, "m", 1.0, 1, 1)
            with pytest.raises(Unavailable, match="PostgreSQL"):
                get_run(store, run_id)
    finally:
        postgres.start()
    log_point(store, run_id, "m", 2.0, 1, 2)
    assert latest(store, run_id) == {"m": (1, 2, "2.0")}


def test_a_stop_while_many_write_loses_nothing(
    two_stores: tuple[Store, Store], postgres: PostgresServer
) -> None:
    store = two_stores[0]
    run_id = new_run(store)
    done: list[int] = []
    enough, stopped = threading.Event(), threading.Event()

    def write(number: int) -> int:
        step = number
        try:
            while not stopped.is_set():
                log_point(store, run_id, "m", 1.0, 1, step)
                done.append(step)
                step += 8
                if len(done) > 100:
                    enough.set()
        except Unavailable:
            return step
        return -1

    def stop() -> int:
        assert enough.wait(60)
        postgres.stop()
        stopped.set()
        return -1

    calls: list[Callable[[], int]] = [stop, *(partial(write, n) for n in range(8))]
    found = outcomes(calls)
    postgres.start()
    unanswered = {step for step in found if isinstance(step, int)}
    assert len(found) == 9
    assert all(isinstance(each, int) for each in found), found
    steps = [point.step for point in history(store, run_id, "m")]
    assert len(steps) == len(set(steps))
    assert set(done) <= set(steps) <= set(done) | unanswered
