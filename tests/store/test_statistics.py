"""PostgreSQL knows how much there is soon after much was written."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg

from headrace.protocol.runs import CreateRun
from headrace.store.base import Submittable
from headrace.store.open import open_store
from headrace.store.sql.statistics import MIN_WRITES

DEADLINE_S = 30.0
WRITES = 2 * MIN_WRITES


def test_statistics_are_refreshed_after_much_was_written(postgres_uri: str) -> None:
    store = open_store(postgres_uri)
    arrived = threading.Semaphore(0)

    def done(_answer: Any, error: BaseException | None) -> None:
        assert error is None
        arrived.release()

    create = store.runs.create
    assert isinstance(create, Submittable)
    for _ in range(WRITES):
        create.submit(CreateRun(), done)
    for _ in range(WRITES):
        assert arrived.acquire(timeout=DEADLINE_S)
    assert _runs_as_planned_for(postgres_uri) >= MIN_WRITES
    store.close()


def _runs_as_planned_for(uri: str) -> float:
    """How many runs the planner believes in; waits for it to be told (-1 is never)."""
    deadline = time.monotonic() + DEADLINE_S
    with psycopg.connect(uri, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT reltuples FROM pg_class WHERE relname = 'runs'"
            ).fetchone()
            assert row is not None
            if row[0] >= 0 or time.monotonic() > deadline:
                return float(row[0])
            time.sleep(0.02)
