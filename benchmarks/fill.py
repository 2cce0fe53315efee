"""Fills a server before a read is measured: through the protocol, or where that takes minutes,
straight into the tables.

MLflow takes a tenth of a second and more for a run with its values, so its tables get the rows
that its own server would have written; each figure then checks that the answers are right.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice
from typing import Protocol

from benchmarks.load import run_load
from benchmarks.peers import MLflow, Server
from benchmarks.wire import run_id_in
from benchmarks.workload import STARTED_MS, Metric, RunContent

CONNECTIONS = 8
BATCH = 1000
RUN_TAGS = (
    ("mlflow.user", "bench"),
    ("mlflow.source.name", "train.py"),
    ("mlflow.source.type", "LOCAL"),
)


class Database(Protocol):
    """What sqlite3 and psycopg connections have in common."""

    def commit(self) -> None:
        """End the transaction."""

    def close(self) -> None:
        """Give the connection back."""


def fill_runs(server: Server, experiment_id: str, contents: Sequence[RunContent]) -> list[str]:
    """Create one run for each content, and log it; return the run ids in the contents' order."""
    if isinstance(server.peer, MLflow):
        return fill_mlflow_runs(server, experiment_id, contents)
    wire = server.wire
    names = [f"sweep-{number}" for number in range(len(contents))]
    creates = (wire.create_run(experiment_id, name) for name in names)
    created = run_load(server.address, shared(creates), keep_bodies=True).require_success()
    run_ids = [run_id_in(body) for body in created.bodies]
    batches = (
        wire.log_batch(run_id, content.metrics, content.params, content.tags)
        for run_id, content in zip(run_ids, contents, strict=True)
    )
    run_load(server.address, shared(batches)).require_success()
    return run_ids


def fill_history(server: Server, run_id: str, points: Sequence[Metric]) -> None:
    """Log a metric's whole history in one run."""
    if isinstance(server.peer, MLflow):
        with closing(connect(server)) as database:
            rows = [(key, value, at, run_id, step, False) for key, value, at, step in points]
            insert(database, "metrics", "key value timestamp run_uuid step is_nan", rows)
            last = [(key, value, at, step, False, run_id) for key, value, at, step in points[-1:]]
            insert(database, "latest_metrics", "key value timestamp step is_nan run_uuid", last)
            database.commit()
        return
    chunks = [points[at : at + BATCH] for at in range(0, len(points), BATCH)]
    batches = [server.wire.log_batch(run_id, chunk) for chunk in chunks]
    run_load(server.address, [batches]).require_success()


def shared(requests: Iterable[bytes]) -> list[Iterable[bytes]]:
    """The same requests for all connections: each takes the next one."""
    source = iter(requests)
    return [islice(source, None) for _ in range(CONNECTIONS)]


def fill_mlflow_runs(
    server: Server, experiment_id: str, contents: Sequence[RunContent]
) -> list[str]:
    """The rows of ``runs``, ``metrics``, ``latest_metrics``, ``params`` and ``tags``."""
    run_ids = [uuid.uuid4().hex for _ in contents]
    runs: list[tuple[object, ...]] = []
    metrics: list[tuple[object, ...]] = []
    latest: list[tuple[object, ...]] = []
    params: list[tuple[object, ...]] = []
    tags: list[tuple[object, ...]] = []
    for number, (run_id, content) in enumerate(zip(run_ids, contents, strict=True)):
        name = f"sweep-{number}"
        where = f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"
        source = ("UNKNOWN", "", "", "bench", "RUNNING", STARTED_MS, "", "active")
        runs.append((run_id, name, *source, where, int(experiment_id)))
        metrics += [(k, v, at, run_id, step, False) for k, v, at, step in content.metrics]
        latest += [(k, v, at, step, False, run_id) for k, v, at, step in content.metrics]
        params += [(key, value, run_id) for key, value in content.params]
        named = (*RUN_TAGS, ("mlflow.runName", name), *content.tags)
        tags += [(key, value, run_id) for key, value in named]
    with closing(connect(server)) as database:
        insert(
            database,
            "runs",
            "run_uuid name source_type source_name entry_point_name user_id status start_time "
            "source_version lifecycle_stage artifact_uri experiment_id",
            runs,
        )
        insert(database, "metrics", "key value timestamp run_uuid step is_nan", metrics)
        insert(database, "latest_metrics", "key value timestamp step is_nan run_uuid", latest)
        insert(database, "params", "key value run_uuid", params)
        insert(database, "tags", "key value run_uuid", tags)
        database.commit()
    return run_ids


def connect(server: Server) -> Database:
    """The server's own database, whichever it is."""
    file = server.place.database_file
    if file is not None:
        import sqlite3

        return sqlite3.connect(file)
    import psycopg

    return psycopg.connect(server.place.database)


def insert(
    database: Database, table: str, columns: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert many rows; the names are our own, the values are bound."""
    import sqlite3

    names = columns.split()
    mark = "?" if isinstance(database, sqlite3.Connection) else "%s"
    marks = ", ".join([mark] * len(names))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # ours
    cursor = database.cursor()  # type: ignore[attr-defined]  # both drivers have it, typed apart
    cursor.executemany(statement, rows)
