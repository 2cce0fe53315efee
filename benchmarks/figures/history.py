"""A history of 20,000 points of one metric, asked for as the MLflow client does: one page."""

from __future__ import annotations

import json
import random

from benchmarks.figures.timing import median_ms
from benchmarks.fill import fill_history
from benchmarks.load import LoadError
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server
from benchmarks.workload import STARTED_MS, Metric

POINTS = 20_000
ASKED = 25_000  # what the MLflow client asks for at most


def measure(server: Server, effort: Effort) -> dict[str, float]:
    wire = server.wire
    run = wire.new_run(wire.new_experiment("history"))
    rng = random.Random(3)
    points: list[Metric] = [
        ("loss", rng.random(), STARTED_MS + 250 * step, step) for step in range(POINTS)
    ]
    fill_history(server, run, points)
    request = wire.get(
        f"metrics/get-history?run_uuid={run}&metric_key=loss&run_id={run}&max_results={ASKED}"
    )
    found = json.loads(wire.ask(request))["metrics"]
    if [metric["value"] for metric in found] != [value for _, value, _, _ in points]:
        raise LoadError(f"the history held {len(found)} points, not the {POINTS} logged")
    return {"history": median_ms(wire, request, effort.repeats)}


FIGURE = ServedFigure(
    "history",
    (
        Quantity(
            "history",
            "a history of 20,000 points",
            "ms",
            targets={"mlflow": 20, "fasttrackml": 5},
        ),
    ),
    measure,
)
