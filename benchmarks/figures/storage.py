"""Bytes of SQLite database for one metric point, after 1,000,000 points of training.

100 runs of 10 metrics; each point has a step, a timestamp a few milliseconds off its rhythm, and
a random double: nothing that a compressor could guess. The write-ahead log is folded in first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from benchmarks.load import LoadError, run_load
from benchmarks.measurements import OURS, Bench, LoneFigure, Quantity
from benchmarks.peers import PeerError, running
from benchmarks.rounds import AFTER
from benchmarks.wire import Wire
from benchmarks.workload import training_batches

RUNS = 100
CONNECTIONS = 4
POINTS_A_BATCH = 1_000


def measure(bench: Bench) -> None:
    peer = bench.peer(OURS)
    if peer is None:
        return
    points = bench.effort.storage_points
    bench.say(f"storage: {points:,} points")
    try:
        with running(peer, bench.folder / "storage") as server:
            wire = server.wire
            experiment = wire.new_experiment("storage")
            runs = [wire.new_run(experiment) for _ in range(RUNS)]
            file = server.place.database_file
            assert file is not None
            empty = folded_size(file)
            batches = points // RUNS // POINTS_A_BATCH
            scripts = [
                chain.from_iterable(
                    run_batches(wire, run, batches) for run in runs[at::CONNECTIONS]
                )
                for at in range(CONNECTIONS)
            ]
            result = run_load(server.address, scripts).require_success()
            bench.measurements.add(AFTER.key, peer.name, server.settled_memory())
            grown = folded_size(file) - empty
    except (PeerError, LoadError, OSError, sqlite3.Error) as error:
        bench.measurements.fail((q.key for q in FIGURE.quantities), peer.name, str(error))
        bench.say(f"storage failed: {error}")
        return
    logged = result.answers * POINTS_A_BATCH
    bench.measurements.add("storage", peer.name, grown / logged)
    bench.measurements.add("storage_rate", peer.name, logged / result.seconds)


def run_batches(wire: Wire, run_id: str, count: int) -> Iterator[bytes]:
    """One run's training in batches of 1,000 points."""
    training = training_batches(int(run_id[:8], 16), keys=10, steps=POINTS_A_BATCH // 10)
    return (wire.log_batch(run_id, metrics) for metrics in islice(training, count))


def folded_size(file: Path) -> int:
    """Bytes of the database file once the write-ahead log is folded in."""
    with closing(sqlite3.connect(file, timeout=30)) as database:
        busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise LoadError("the write-ahead log could not be folded in: the database was busy")
    return file.stat().st_size


FIGURE = LoneFigure(
    "storage",
    (
        Quantity("storage", "SQLite database, a metric point", "bytes", at_most=40),
        Quantity(
            "storage_rate",
            "log-batch of 1,000 metrics, 4 connections",
            "points/s",
            higher_is_better=True,
        ),
    ),
    measure,
)
