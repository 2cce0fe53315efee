"""Offline, then to a plain MLflow server: it gives ids of its own, and each run is made once."""

from __future__ import annotations

import json
import os
import random
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import headrace
from tests.crash.logging_world import World, gate
from tests.wire.mlflow_server import running_mlflow

TRAIN = """
from headrace.entities import Dataset
headrace.set_experiment("offline")
for number in range(3):
    with headrace.start_run(run_name=f"run {number}") as run:
        headrace.log_params({"n": number})
        headrace.log_input(Dataset("train", "d1"), context="training")
        for step in range(300):
            headrace.log_metric("m", step * number, step=step, timestamp=1000 + step)
        headrace.log_text("hello", "notes/a.txt")
        headrace.log_table({"x": [1, 2], "y": [3, 4]}, "table.json")
        headrace.set_tag("t", number)
        with headrace.start_run(run_name=f"inner {number}", nested=True) as inner:
            headrace.log_metric("m", number)
    said(f"{run.info.run_id} {inner.info.run_id}")
"""


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory, mlflow_python: Path) -> Iterator[str]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow"), mlflow_python) as url:
        yield url


def runs_at(url: str, experiment: str) -> list[Any]:
    """The runs of an experiment, as MLflow itself answers."""

    def post(path: str, document: Any) -> Any:
        request = urllib.request.Request(
            f"{url}/api/2.0/mlflow/{path}",
            json.dumps(document).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    listed = post("experiments/search", {"max_results": 1000})["experiments"]
    ids = [each["experiment_id"] for each in listed if each["name"] == experiment]
    return list(post("runs/search", {"experiment_ids": ids, "max_results": 1000}).get("runs", []))


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_everything_arrives_once(world: World, mlflow_url: str) -> None:
    chance = random.Random(3)
    with gate(int(mlflow_url.rpartition(":")[2])) as between:
        uri = between.url
        program = world.start(uri, TRAIN, environment={"HEADRACE_OFFLINE": "true"})
        program.succeed()
        ours = [run_id for line in program.said for run_id in line.split()]
        assert len(ours) == 6
        for _ in range(6):  # a sender that dies in the middle, each time somewhere else
            child = os.fork()
            if child == 0:
                with suppress(BaseException):
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.2, 1.0))
                    world.drain(uri)
                os._exit(0)
            os.waitpid(child, 0)
        world.drain(uri)
        world.drain(uri)  # and once more, with nothing to do
        found = runs_at(mlflow_url, "offline")
        assert len(found) == 6
        tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in found]
        assert Counter(tag["headrace.runId"] for tag in tags) == Counter(ours)
        theirs = {
            tag["headrace.runId"]: run["info"]["run_id"]
            for tag, run in zip(tags, found, strict=True)
        }
        assert {world.ledger(uri).run_id(run_id) for run_id in ours} == set(theirs.values())
        assert set(theirs.values()).isdisjoint(ours)
        assert world.refusals(uri) == []
        # By the id that the program was told.
        client = headrace.Client(uri)
        for number, line in enumerate(program.said):
            run_id, inner = line.split()
            run = client.get_run(run_id)
            assert run.data.params == {"n": str(number)}
            assert str(run.info.status) == "FINISHED"
            points = client.get_metric_history(run_id, "m")
            assert [(p.step, p.value) for p in points] == [(n, n * number) for n in range(300)]
            paths = sorted(file.path for file in client.list_artifacts(run_id))
            assert paths == ["notes", "table.json"]
            assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["train"]
            parent = client.get_run(inner).data.tags["mlflow.parentRunId"]
            assert parent == theirs[run_id]
        assert len(world.logs(uri)) == 0
