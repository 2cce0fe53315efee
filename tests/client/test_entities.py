"""What the client gives back, read as MLflow's users read it."""

from __future__ import annotations

import json
import math

import pytest

import headrace
from headrace.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunStatus,
    ViewType,
)

INFO = {
    "artifact_uri": "a",
    "end_time": None,
    "experiment_id": "1",
    "lifecycle_stage": "active",
    "run_id": "r",
    "run_name": "n",
    "start_time": 1,
    "status": "RUNNING",
    "user_id": "ada",
}


def a_run() -> Run:
    info = RunInfo(
        run_id="r",
        run_uuid="r",
        experiment_id="1",
        run_name="n",
        user_id="ada",
        status=RunStatus.RUNNING,
        start_time=1,
        artifact_uri="a",
        lifecycle_stage="active",
    )
    taken = DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("k", "v")])
    metrics = {"m": Metric("m", math.inf, 1).value}
    data = RunData(metrics, {"p": "1"}, {"t": "x"})
    return Run(info, data, RunInputs([taken]), RunOutputs([LoggedModelOutput("m-1")]))


def test_entities_are_dictionaries_where_one_is_asked_for() -> None:
    run = a_run()
    assert dict(run.info) == INFO
    assert list(dict(run)) == ["data", "info", "inputs", "outputs"]
    assert dict(run.data) == {"metrics": {"m": math.inf}, "params": {"p": "1"}, "tags": {"t": "x"}}
    assert dict(Metric("m", 1.0, 2, 3, "model", "name", "digest", "run")) == {
        "dataset_digest": "digest",
        "dataset_name": "name",
        "key": "m",
        "model_id": "model",
        "run_id": "run",
        "step": 3,
        "timestamp": 2,
        "value": 1.0,
    }


def test_a_run_as_plain_values() -> None:
    plain = a_run().to_dictionary()
    assert plain == {
        "info": INFO,
        "data": {"metrics": {"m": math.inf}, "params": {"p": "1"}, "tags": {"t": "x"}},
        "inputs": {
            "dataset_inputs": [
                {
                    "dataset": {
                        "name": "d",
                        "digest": "1",
                        "source_type": "local",
                        "source": "{}",
                        "schema": None,
                        "profile": None,
                    },
                    "tags": {"k": "v"},
                }
            ],
            "model_inputs": [],
        },
        "outputs": {"model_outputs": [{"model_id": "m-1", "step": 0}]},
    }
    assert type(plain["info"]["status"]) is str
    assert type(plain["data"]["metrics"]["m"]) is float
    assert json.loads(json.dumps(plain)) == plain


def test_a_logged_model_as_plain_values(database: str) -> None:
    model = headrace.initialize_logged_model("net", params={"p": "1"})
    assert dict(model)["model_uri"] == model.model_uri
    plain = model.to_dictionary()
    assert "model_uri" not in plain
    assert (plain["status"], plain["params"]) == ("PENDING", {"p": "1"})


def test_the_constants_of_mlflow() -> None:
    assert RunStatus.to_string(RunStatus.FAILED) == "FAILED"
    assert RunStatus.to_string(3) == "FINISHED"
    assert RunStatus.from_string("KILLED") is RunStatus.KILLED
    assert [s for s in RunStatus.all_status() if not RunStatus.is_terminated(s)] == [
        *("RUNNING", "SCHEDULED"),
    ]
    with pytest.raises(headrace.MlflowException, match="RUNNING, SCHEDULED"):
        RunStatus.from_string("DONE")
    assert ViewType.to_string(ViewType.ACTIVE_ONLY) == "active_only"
    assert ViewType.from_string("deleted_only") is ViewType.DELETED_ONLY
