"""``runs/log-metric``: one value a request, 8 connections, a run for each."""

from __future__ import annotations

from benchmarks.load import run_load
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server

CONNECTIONS = 8


def measure(server: Server, effort: Effort) -> dict[str, float]:
    wire = server.wire
    experiment = wire.new_experiment("log-metric")
    runs = [wire.new_run(experiment) for _ in range(CONNECTIONS)]
    warm = [wire.log_metrics(run, "loss") for run in runs]
    run_load(server.address, warm, seconds=effort.warm_up_s).require_success()
    scripts = [wire.log_metrics(run, "loss", first_step=2_000_000) for run in runs]
    result = run_load(server.address, scripts, seconds=effort.seconds).require_success()
    return {
        "log_metric": result.rate,
        "log_metric_p50": result.percentile(50),
        "log_metric_p99": result.percentile(99),
    }


FIGURE = ServedFigure(
    "log_metric",
    (
        Quantity(
            "log_metric",
            "log-metric, 8 connections",
            "requests/s",
            higher_is_better=True,
            targets={"mlflow": 80, "fasttrackml": 6, "fasttrackml-durable": 6},
        ),
        Quantity("log_metric_p50", "log-metric, half are answered within", "ms"),
        Quantity("log_metric_p99", "log-metric, 99 % are answered within", "ms"),
    ),
    measure,
    writes=True,
)
