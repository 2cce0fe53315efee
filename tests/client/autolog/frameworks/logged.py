"""What a run has logged, as plain values to compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Point = tuple[int, float]


@dataclass(frozen=True)
class Logged:
    status: str
    params: dict[str, str]
    metrics: dict[str, list[Point]]
    tags: dict[str, str]
    artifacts: set[str]
    inputs: list[tuple[str, str]]
    run_id: str

    def values(self, key: str) -> list[float]:
        return [value for _, value in self.metrics[key]]

    def steps(self, key: str) -> list[int]:
        return [step for step, _ in self.metrics[key]]


def logged_runs(client: Any) -> list[Logged]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    return [_logged(client, run) for run in found]


def _logged(client: Any, run: Any) -> Logged:
    run_id = run.info.run_id
    inputs = [
        (entry.dataset.name, next(tag.value for tag in entry.tags))
        for entry in run.inputs.dataset_inputs
    ]
    return Logged(
        status=run.info.status,
        params=dict(run.data.params),
        metrics={
            key: [(point.step, point.value) for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        },
        tags=dict(run.data.tags),
        artifacts=set(_files(client, run_id, None)),
        inputs=sorted(inputs),
        run_id=run_id,
    )


def _files(client: Any, run_id: str, folder: str | None) -> Iterator[str]:
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _files(client, run_id, entry.path)
        else:
            yield entry.path
