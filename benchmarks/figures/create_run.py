"""A new run and one batch with all it holds: 10 metrics, 10 params, a tag. One client."""

from __future__ import annotations

import time

from benchmarks.measurements import Effort, Quantity, ServedFigure
from benchmarks.peers import Server
from benchmarks.wire import run_id_in
from benchmarks.workload import sweep


def measure(server: Server, effort: Effort) -> dict[str, float]:
    wire = server.wire
    experiment = wire.new_experiment("create-run")
    contents = sweep(100, seed=11)

    def create(number: int) -> None:
        run_id = run_id_in(wire.ask(wire.create_run(experiment, f"run-{number}")))
        content = contents[number % len(contents)]
        wire.ask(wire.log_batch(run_id, content.metrics, content.params, content.tags))

    def create_for(seconds: float) -> float:
        started = time.perf_counter()
        made = 0
        while (elapsed := time.perf_counter() - started) < seconds:
            create(made)
            made += 1
        return made / elapsed

    create_for(effort.warm_up_s)
    return {"create_run": create_for(effort.seconds)}


FIGURE = ServedFigure(
    "create_run",
    (
        Quantity(
            "create_run",
            "create a run + one batch, one client",
            "runs/s",
            higher_is_better=True,
            targets={"mlflow": 60, "fasttrackml": 4, "fasttrackml-durable": 4},
        ),
    ),
    measure,
    writes=True,
)
