"""``runs/get`` of runs with 10 metrics and 10 params, 8 connections."""

from __future__ import annotations

import json
from itertools import cycle, islice

from benchmarks.figures.stock import stock_of
from benchmarks.load import LoadError, run_load
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server

CONNECTIONS = 8
DIFFERENT_RUNS = 64


def measure(server: Server, effort: Effort) -> dict[str, float]:
    stock = stock_of(server)
    wire = server.wire
    requests = [
        wire.get(f"runs/get?run_uuid={run_id}&run_id={run_id}")
        for run_id in stock.run_ids[:DIFFERENT_RUNS]
    ]
    data = json.loads(wire.ask(requests[0]))["run"]["data"]
    if (len(data["metrics"]), len(data["params"])) != (10, 10):
        raise LoadError("runs/get did not return the run's 10 metrics and 10 params")
    scripts = [
        islice(cycle(requests), DIFFERENT_RUNS // CONNECTIONS * number, None)
        for number in range(CONNECTIONS)
    ]
    run_load(server.address, scripts, seconds=effort.warm_up_s).require_success()
    result = run_load(server.address, scripts, seconds=effort.seconds).require_success()
    return {"get_run": result.rate, "get_run_p50": result.percentile(50)}


FIGURE = ServedFigure(
    "get_run",
    (
        Quantity(
            "get_run",
            "get a run, 8 connections",
            "requests/s",
            higher_is_better=True,
            targets={"mlflow": 50, "fasttrackml": 1.5},
        ),
        Quantity("get_run_p50", "get a run, half are answered within", "ms"),
    ),
    measure,
)
