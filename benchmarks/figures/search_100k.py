"""Searches over 100,000 runs, in Headrace alone: filling the others would take hours."""

from __future__ import annotations

import json
import random

from benchmarks.figures.timing import median_ms
from benchmarks.fill import fill_runs
from benchmarks.load import LoadError
from benchmarks.measurements import OURS, Bench, LoneFigure, Quantity
from benchmarks.peers import PeerError, Server, running
from benchmarks.rounds import AFTER
from benchmarks.workload import STARTED_MS, RunContent

PAGE = 100
SELECTIVE = "metrics.accuracy > 0.999 AND params.optimizer = 'adam'"
HALF = "metrics.accuracy > 0.5"
CHUNK = 10_000


def measure(bench: Bench) -> None:
    peer = bench.peer(OURS)
    if peer is None:
        return
    runs = bench.effort.large_search_runs
    try:
        with running(peer, bench.folder / "search-100k") as server:
            experiment = server.wire.new_experiment("large")
            for at in range(0, runs, CHUNK):
                bench.say(f"search_100k: {at:,} of {runs:,} runs made")
                count = min(CHUNK, runs - at)
                fill_runs(server, experiment, small_runs(count, seed=at))
            for key, text in (("search_selective", SELECTIVE), ("search_half", HALF)):
                bench.say(f"search_100k: {text}")
                elapsed = timed_search(server, experiment, text, bench.effort.repeats)
                bench.measurements.add(key, peer.name, elapsed)
            bench.measurements.add(AFTER.key, peer.name, server.settled_memory())
    except (PeerError, LoadError, OSError) as error:
        bench.measurements.fail((q.key for q in FIGURE.quantities), peer.name, str(error))
        bench.say(f"search_100k failed: {error}")


def small_runs(count: int, seed: int) -> list[RunContent]:
    """Runs with four metrics, three params and a tag."""
    rng = random.Random(seed)
    names = ("accuracy", "loss", "val_accuracy", "val_loss")
    return [
        RunContent(
            [(name, rng.random(), STARTED_MS, 100) for name in names],
            [
                ("optimizer", rng.choice(("adam", "sgd", "rmsprop", "lion"))),
                ("lr", f"{rng.random():.6f}"),
                ("seed", str(rng.randrange(1000))),
            ],
            [("stage", rng.choice(("draft", "final")))],
        )
        for _ in range(count)
    ]


def timed_search(server: Server, experiment: str, text: str, repeats: int) -> float:
    """Median milliseconds of a first page, ordered by a metric."""
    request = server.wire.post(
        "runs/search",
        {
            "experiment_ids": [experiment],
            "filter": text,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": PAGE,
            "order_by": ["metrics.loss ASC"],
        },
    )
    if not json.loads(server.wire.ask(request)).get("runs"):
        raise LoadError(f"the search {text!r} found nothing")
    return median_ms(server.wire, request, repeats)


FIGURE = LoneFigure(
    "search_100k",
    (
        Quantity("search_selective", "selective search, 100,000 runs", "ms", at_most=100),
        Quantity("search_half", "search that half of 100,000 runs match", "ms", at_most=300),
    ),
    measure,
)
