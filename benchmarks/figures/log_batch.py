"""``runs/log-batch`` of 100 metrics (10 keys, 10 steps), 4 connections, a run for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from benchmarks.load import run_load
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server
from benchmarks.wire import Wire
from benchmarks.workload import training_batches

CONNECTIONS = 4
POINTS = 100
READY_PER_SECOND = 700  # batches made beforehand, per connection and second; more are made live


def measure(server: Server, effort: Effort) -> dict[str, float]:
    wire = server.wire
    experiment = wire.new_experiment("log-batch")
    runs = [wire.new_run(experiment) for _ in range(CONNECTIONS)]
    scripts = [batches(wire, run, seed) for seed, run in enumerate(runs)]
    run_load(server.address, scripts, seconds=effort.warm_up_s).require_success()
    ready = [prepared(script, int(READY_PER_SECOND * effort.seconds)) for script in scripts]
    result = run_load(server.address, ready, seconds=effort.seconds).require_success()
    return {"log_batch": result.rate * POINTS, "log_batch_p50": result.percentile(50)}


def batches(wire: Wire, run_id: str, seed: int) -> Iterator[bytes]:
    """Endless requests of one run's training."""
    return (wire.log_batch(run_id, metrics) for metrics in training_batches(seed))


def prepared(requests: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The same requests, the first ``count`` of them made now."""
    made = list(islice(requests, count))

    def all_requests() -> Iterator[bytes]:
        yield from made
        yield from requests

    return all_requests()


FIGURE = ServedFigure(
    "log_batch",
    (
        Quantity(
            "log_batch",
            "log-batch of 100 metrics, 4 connections",
            "points/s",
            higher_is_better=True,
            targets={"mlflow": 40, "fasttrackml": 7, "fasttrackml-durable": 7},
        ),
        Quantity("log_batch_p50", "log-batch of 100, half are answered within", "ms"),
    ),
    measure,
    writes=True,
)
