"""The 2,000 finished runs that the reading figures share, filled once a server."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fill import fill_runs
from benchmarks.peers import Server
from benchmarks.workload import RunContent, sweep

RUNS = 2_000


@dataclass(frozen=True)
class Stock:
    """An experiment full of runs, and what each holds."""

    experiment_id: str
    run_ids: list[str]
    contents: list[RunContent]


def stock_of(server: Server) -> Stock:
    """The server's stock; the first caller fills it."""
    kept = server.cache.get("stock")
    if isinstance(kept, Stock):
        return kept
    experiment_id = server.wire.new_experiment("stock")
    contents = sweep(RUNS)
    made = Stock(experiment_id, fill_runs(server, experiment_id, contents), contents)
    server.cache["stock"] = made
    return made
