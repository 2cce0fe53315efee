"""One page of 1,000 runs, each with 10 metrics, 10 params and 5 tags, no filter."""

from __future__ import annotations

import json

from benchmarks.figures.stock import stock_of
from benchmarks.figures.timing import median_ms
from benchmarks.load import LoadError
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server

PAGE = 1_000


def measure(server: Server, effort: Effort) -> dict[str, float]:
    stock = stock_of(server)
    request = server.wire.post(
        "runs/search",
        {
            "experiment_ids": [stock.experiment_id],
            "run_view_type": "ACTIVE_ONLY",
            "max_results": PAGE,
        },
    )
    runs = json.loads(server.wire.ask(request))["runs"]
    held = {(len(run["data"]["metrics"]), len(run["data"]["params"])) for run in runs}
    if len(runs) != PAGE or held != {(10, 10)}:
        raise LoadError(f"the page held {len(runs)} runs with (metrics, params) {held}")
    return {"page": median_ms(server.wire, request, effort.repeats)}


FIGURE = ServedFigure(
    "page",
    (
        Quantity(
            "page",
            "a page of 1,000 runs",
            "ms",
            targets={"mlflow": 15, "fasttrackml": 2},
        ),
    ),
    measure,
)
