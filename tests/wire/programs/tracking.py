"""Experiments, runs and what is logged to them, as a user of MLflow writes it."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from tests.wire.programs.steps import main, step

client: Any = None
state: dict[str, Any] = {}


def prepare(url: str) -> None:
    global client  # noqa: PLW0603 - a program's main object
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url)


def error_of(call: Any) -> MlflowException:
    try:
        call()
    except MlflowException as error:
        return error
    raise AssertionError("no error")


@step
def experiment_is_made_and_found() -> None:
    made = mlflow.set_experiment("wire")
    again = mlflow.set_experiment("wire")
    assert made.experiment_id == again.experiment_id
    assert made.artifact_location == f"mlflow-artifacts:/{made.experiment_id}"
    assert made.lifecycle_stage == "active"
    assert made.creation_time == made.last_update_time
    assert client.get_experiment("0").name == "Default"
    assert client.get_experiment_by_name("nobody") is None
    state["experiment"] = made.experiment_id


@step
def experiment_life_cycle() -> None:
    number = client.create_experiment("cycle", tags={"team": "a b"})
    client.set_experiment_tag(number, "stage", "x" * 5000)
    found = client.get_experiment(number)
    assert found.tags == {"team": "a b", "stage": "x" * 5000}
    client.delete_experiment_tag(number, "stage")
    assert client.get_experiment(number).tags == {"team": "a b"}
    client.rename_experiment(number, "cycle 2")
    assert client.get_experiment_by_name("cycle") is None
    assert client.get_experiment_by_name("cycle 2").experiment_id == number
    run = client.create_run(number)
    client.delete_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "deleted"
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert "deleted" in str(error_of(lambda: mlflow.set_experiment("cycle 2")))
    client.restore_experiment(number)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"
    error = error_of(lambda: client.create_experiment("cycle 2"))
    assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    assert error_of(lambda: client.get_experiment("987654")).error_code == "RESOURCE_DOES_NOT_EXIST"


@step
def search_experiments() -> None:
    for name in ("alpha", "Beta", "gamma_1"):
        client.create_experiment(name, tags={"kind": name[0]})

    def names(text: str, **options: Any) -> list[str]:
        return [e.name for e in client.search_experiments(filter_string=text, **options)]

    assert names("name = 'alpha'") == ["alpha"]
    assert names("name LIKE 'b%'") == []
    assert names("name ILIKE 'b%'") == ["Beta"]
    assert names("tags.kind = 'g'") == ["gamma_1"]
    assert names("tag.kind IS NOT NULL", order_by=["name DESC"]) == ["gamma_1", "alpha", "Beta"]
    assert "Default" in names("tags.kind IS NULL")
    assert names("creation_time > 0 AND name != 'alpha'", order_by=["name"])[0] == "Beta"
    page = client.search_experiments(max_results=2, order_by=["experiment_id"])
    assert page.token
    rest = client.search_experiments(
        max_results=2, order_by=["experiment_id"], page_token=page.token
    )
    assert not {e.name for e in page} & {e.name for e in rest}
    assert error_of(lambda: names("nothing = 1")).error_code == "INVALID_PARAMETER_VALUE"
    deleted = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert "alpha" not in [e.name for e in deleted]


@step
def run_as_most_programs_write_it() -> None:
    mlflow.set_experiment("wire")
    with mlflow.start_run(run_name="first", description="a note", tags={"who": "me"}) as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "text": "x" * 6000, "none": None, "unicode": "Grüße 水"})
        for number in range(5):
            mlflow.log_metric("loss", 1 / (number + 1), step=number)
        mlflow.log_metrics({"accuracy": 0.5, "a/b c-d.e": 2}, step=7)
        mlflow.set_tag("color", "blue")
        mlflow.set_tags({"empty": "", "number": 5})
        assert mlflow.active_run().info.run_id == run.info.run_id
    found = mlflow.get_run(run.info.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "first"
    assert found.info.end_time >= found.info.start_time
    assert found.data.params["depth"] == "3"
    assert found.data.params["none"] == "None"
    assert found.data.params["unicode"] == "Grüße 水"
    assert found.data.params["text"] == "x" * 6000
    assert found.data.metrics == {"loss": 0.2, "accuracy": 0.5, "a/b c-d.e": 2.0}
    assert found.data.tags["mlflow.note.content"] == "a note"
    assert found.data.tags["empty"] == ""
    assert found.data.tags["mlflow.runName"] == "first"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(n, 1 / (n + 1)) for n in range(5)]
    assert client.get_metric_history(run.info.run_id, "nothing") == []
    state["run"] = run.info.run_id


@step
def runs_nested_resumed_failed_deleted_restored() -> None:
    mlflow.set_experiment("wire")
    with (
        mlflow.start_run(run_name="parent") as parent,
        mlflow.start_run(run_name="child", nested=True) as child,
    ):
        mlflow.log_metric("m", 1)
    found = mlflow.get_run(child.info.run_id)
    assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    with mlflow.start_run(run_id=parent.info.run_id):
        assert mlflow.get_run(parent.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("resumed", 1)
    assert mlflow.get_run(parent.info.run_id).info.status == "FINISHED"
    failed = mlflow.start_run()
    with contextlib.suppress(ValueError), failed:
        raise ValueError("training went wrong")
    assert mlflow.get_run(failed.info.run_id).info.status == "FAILED"
    client.set_terminated(failed.info.run_id, status="KILLED", end_time=5)
    assert mlflow.get_run(failed.info.run_id).info.end_time == 5
    client.update_run(failed.info.run_id, status="RUNNING", name="renamed")
    assert mlflow.get_run(failed.info.run_id).data.tags["mlflow.runName"] == "renamed"
    mlflow.delete_run(failed.info.run_id)
    assert mlflow.get_run(failed.info.run_id).info.lifecycle_stage == "deleted"
    error = error_of(lambda: client.log_param(failed.info.run_id, "a", 1))
    assert error.error_code == "INVALID_PARAMETER_VALUE"
    client.restore_run(failed.info.run_id)
    client.log_param(failed.info.run_id, "a", 1)
    assert error_of(lambda: mlflow.get_run("0" * 32)).error_code == "RESOURCE_DOES_NOT_EXIST"


@step
def numbers_come_back_exactly() -> None:
    run = client.create_run(state["experiment"])
    values = [0.1, 5e-324, 1.7976931348623157e308, 1e22, 123456789.123456789, math.pi]
    for number, value in enumerate(values):
        client.log_metric(run.info.run_id, "m", value, timestamp=1000 + number, step=number)
    client.log_metric(run.info.run_id, "nan", math.nan, timestamp=1, step=-5)
    back = client.get_metric_history(run.info.run_id, "m")
    assert [m.value.hex() for m in back] == [v.hex() for v in values]
    assert [m.timestamp for m in back] == [1000 + n for n in range(len(values))]
    (nan,) = client.get_metric_history(run.info.run_id, "nan")
    assert math.isnan(nan.value)
    assert nan.step == -5
    assert math.isnan(client.get_run(run.info.run_id).data.metrics["nan"])


@step
def infinity_comes_back_exactly() -> None:
    run = client.create_run(state["experiment"])
    client.log_metric(run.info.run_id, "high", math.inf)
    client.log_batch(run.info.run_id, metrics=[Metric("low", -math.inf, 1, 0)])
    assert client.get_run(run.info.run_id).data.metrics == {"high": math.inf, "low": -math.inf}
    assert client.get_metric_history(run.info.run_id, "low")[0].value == -math.inf


@step
def latest_metric_is_of_the_highest_step_then_time_then_value() -> None:
    run = client.create_run(state["experiment"])

    def latest(*points: tuple[float, int, int]) -> float:
        key = f"k{time.monotonic_ns()}"
        for value, stamp, number in points:
            client.log_metric(run.info.run_id, key, value, timestamp=stamp, step=number)
        value = client.get_run(run.info.run_id).data.metrics[key]
        assert isinstance(value, float)
        return value

    assert latest((1, 5, 2), (2, 9, 1)) == 1
    assert latest((1, 5, 2), (2, 4, 2)) == 1
    assert latest((1, 5, 2), (2, 5, 2)) == 2
    assert latest((2, 5, 2), (1, 5, 2)) == 2
    assert latest((1, 1, -1), (2, 1, -2)) == 1


@step
def the_same_point_twice_is_one() -> None:
    run = client.create_run(state["experiment"])
    for _ in range(2):
        client.log_metric(run.info.run_id, "m", 1, timestamp=1, step=1)
        client.log_metric(run.info.run_id, "nan", math.nan, timestamp=1, step=1)
    assert len(client.get_metric_history(run.info.run_id, "m")) == 1
    assert len(client.get_metric_history(run.info.run_id, "nan")) == 1


@step
def params_do_not_change() -> None:
    run = client.create_run(state["experiment"])
    client.log_param(run.info.run_id, "p", "1")
    client.log_param(run.info.run_id, "p", "1")
    error = error_of(lambda: client.log_param(run.info.run_id, "p", "2"))
    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert "'p'" in str(error)
    client.log_batch(run.info.run_id, params=[Param("p", "1"), Param("q", "2")])
    error = error_of(lambda: client.log_batch(run.info.run_id, params=[Param("q", "3")]))
    assert error.error_code == "INVALID_PARAMETER_VALUE"
    assert client.get_run(run.info.run_id).data.params == {"p": "1", "q": "2"}


@step
def tags_change_and_go() -> None:
    run = client.create_run(state["experiment"], run_name="tagged")
    client.set_tag(run.info.run_id, "t", "1")
    client.set_tag(run.info.run_id, "t", "2\nlines ünï")
    assert client.get_run(run.info.run_id).data.tags["t"] == "2\nlines ünï"
    client.delete_tag(run.info.run_id, "t")
    assert "t" not in client.get_run(run.info.run_id).data.tags
    error = error_of(lambda: client.delete_tag(run.info.run_id, "t"))
    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    client.set_tag(run.info.run_id, "mlflow.runName", "by tag")
    assert client.get_run(run.info.run_id).info.run_name == "by tag"


@step
def batches_larger_than_a_request() -> None:
    run = client.create_run(state["experiment"])
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_params({f"p{n}": n for n in range(250)})
        mlflow.log_metrics({f"m{n}": n for n in range(2500)})
        mlflow.set_tags({f"t{n}": n for n in range(150)})
    found = client.get_run(run.info.run_id).data
    assert len(found.params) == 250
    assert found.metrics == {f"m{n}": float(n) for n in range(2500)}
    assert len([name for name in found.tags if name[0] == "t"]) == 150
    client.log_batch(run.info.run_id, metrics=[Metric("h", n, n, n) for n in range(1000)])
    assert len(client.get_metric_history(run.info.run_id, "h")) == 1000
    error = error_of(
        lambda: client._tracking_client.store.log_batch(
            run.info.run_id, [], [], [RunTag("x", "1")] * 101
        )
    )
    assert error.error_code == "INVALID_PARAMETER_VALUE"


@step
def datasets_and_models_of_a_run() -> None:
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    with mlflow.start_run(experiment_id=state["experiment"]) as run:
        table = mlflow.data.from_pandas(frame, name="table", targets="y")
        mlflow.log_input(table, context="training", tags={"extra": "1"})
        array = mlflow.data.from_numpy(np.arange(4.0), name="array")
        mlflow.log_inputs([array], contexts=["test"], tags_list=[None])
        mlflow.log_input(table, context="training")
    found = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    by_name = {item.dataset.name: item for item in found}
    assert set(by_name) == {"table", "array"}
    tags = {tag.key: tag.value for tag in by_name["table"].tags}
    assert tags == {"mlflow.data.context": "training", "extra": "1"}
    assert by_name["table"].dataset.digest == table.digest
    assert by_name["table"].dataset.schema == table.to_dict()["schema"]
    assert by_name["table"].dataset.profile == table.to_dict()["profile"]
    assert mlflow.data.get_source(by_name["table"].dataset) is not None
    frame = mlflow.search_runs([state["experiment"]], filter_string="dataset.name = 'table'")
    assert list(frame["run_id"]) == [run.info.run_id]


@step
def search_runs() -> None:
    experiment = client.create_experiment("runs to search")
    for number in range(6):
        run = client.create_run(
            experiment,
            start_time=1000 + number,
            run_name=f"run-{number}",
            tags={"par": "abAB"[number % 4]},
        )
        metrics = [Metric("loss", number / 2, 1, 0)]
        if number == 5:
            metrics = [Metric("loss", math.nan, 1, 0), Metric("only here", 1, 1, 0)]
        client.log_batch(run.info.run_id, metrics, [Param("depth", str(number)), Param("a b", "c")])
        if number == 4:
            client.set_terminated(run.info.run_id)

    def found(text: str, **options: Any) -> str:
        runs = client.search_runs([experiment], text, **options)
        return "".join(run.info.run_name[-1] for run in runs)

    assert found("") == "543210"
    assert found("metrics.loss < 1") == "10"
    assert found("metrics.loss >= 1 and metric.loss < 2.5") == "432"
    assert found("metrics.`only here` = 1") == "5"
    assert found('metrics."loss" != 0') == "54321"
    assert found("params.depth = '3'") == "3"
    assert found("params.`a b` LIKE '%' and parameters.depth != '3'") == "54210"
    assert found("tags.par LIKE 'a%'") == "40"
    assert found("tags.par ILIKE 'a%'") == "420"
    assert found("tags.nothing IS NULL") == "543210"
    assert found("tags.nothing IS NOT NULL") == ""
    assert found("attributes.status = 'FINISHED'") == "4"
    assert found("status = 'RUNNING' AND run_name ILIKE 'RUN-%'") == "53210"
    assert found("start_time > 1003 and attr.start_time <= 1004") == "4"
    assert found("created > 1003") == "54"
    assert found("tags.mlflow.runName = 'run-1'") == "1"
    ids = [run.info.run_id for run in client.search_runs([experiment])]
    assert found(f"run_id IN ('{ids[0]}', '{ids[2]}')") == "53"
    assert found(f"run_id NOT IN ('{ids[0]}', '{ids[2]}')") == "4210"
    assert found(f"run_id = '{ids[5]}'") == "0"
    assert found("", order_by=["metrics.loss ASC"]) == "012345"
    assert found("", order_by=["metrics.loss DESC"]) == "432105"
    assert found("", order_by=["params.depth"]) == "012345"
    assert found("", order_by=["metrics.`only here`", "start_time ASC"]) == "501234"
    page = client.search_runs([experiment], max_results=4)
    assert len(page) == 4
    assert len(client.search_runs([experiment], max_results=4, page_token=page.token)) == 2
    client.delete_run(ids[0])
    assert found("") == "43210"
    assert found("", run_view_type=ViewType.DELETED_ONLY) == "5"
    assert found("", run_view_type=ViewType.ALL) == "543210"
    for wrong in ("loss", "metrics.loss = 'a'", "params.a = 1", "a = 1", "status = 'x' OR 1 = 1"):
        assert error_of(lambda text=wrong: found(text)).error_code == "INVALID_PARAMETER_VALUE"
    frame = mlflow.search_runs([experiment], order_by=["start_time ASC"])
    assert list(frame["params.depth"]) == list("01234")
    assert len(mlflow.search_runs(search_all_experiments=True)) >= 6


@step
def asynchronous_logging() -> None:
    with mlflow.start_run(experiment_id=state["experiment"]) as run:
        waits = [mlflow.log_metric("m", n, step=n, synchronous=False) for n in range(50)]
        waits.append(mlflow.log_params({"a": 1, "b": 2}, synchronous=False))
        waits.append(mlflow.set_tag("t", "v", synchronous=False))
        for each in waits:
            each.wait()
    assert len(client.get_metric_history(run.info.run_id, "m")) == 50
    found = client.get_run(run.info.run_id).data
    assert found.metrics["m"] == 49
    assert found.params == {"a": "1", "b": "2"}
    assert found.tags["t"] == "v"


if __name__ == "__main__":
    main(prepare)
