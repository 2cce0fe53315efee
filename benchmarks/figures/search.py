"""``runs/search`` over 2,000 runs with a metric filter, a param filter and an order."""

from __future__ import annotations

import json

from benchmarks.figures.stock import Stock, stock_of
from benchmarks.figures.timing import median_ms
from benchmarks.load import LoadError
from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server

PAGE = 100
FILTER = "metrics.accuracy > 0.5 AND params.optimizer = 'adam'"


def measure(server: Server, effort: Effort) -> dict[str, float]:
    stock = stock_of(server)
    request = server.wire.post(
        "runs/search",
        {
            "experiment_ids": [stock.experiment_id],
            "filter": FILTER,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": PAGE,
            "order_by": ["metrics.loss ASC"],
        },
    )
    check(json.loads(server.wire.ask(request))["runs"], stock)
    return {"search": median_ms(server.wire, request, effort.repeats)}


def check(runs: list[dict[str, dict[str, list[dict[str, object]]]]], stock: Stock) -> None:
    """Raise LoadError unless these are the right runs in the right order."""
    expected = sorted(
        metrics["loss"]
        for metrics, params in (
            ({key: value for key, value, _, _ in content.metrics}, dict(content.params))
            for content in stock.contents
        )
        if metrics["accuracy"] > 0.5 and params["optimizer"] == "adam"
    )[:PAGE]
    found = [
        next(metric["value"] for metric in run["data"]["metrics"] if metric["key"] == "loss")
        for run in runs
    ]
    if found != expected:
        raise LoadError(f"the search returned other runs than it should ({len(found)} of them)")


FIGURE = ServedFigure(
    "search",
    (
        Quantity(
            "search",
            "search with a metric and a param filter and an order, 2,000 runs",
            "ms",
            targets={"mlflow": 10, "fasttrackml": 1},
        ),
    ),
    measure,
)
