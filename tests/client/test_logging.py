"""What is logged is what is read; mistakes raise at the call, by name, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import headrace
from headrace.client import values
from headrace.client.connection import Connection
from headrace.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from headrace.errors import InvalidRequest, NotFound


def client() -> headrace.MlflowClient:
    return headrace.MlflowClient()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.array(3), 3.0),
        ("2.5", 2.5),
        (1e308, 1e308),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
)
def test_numbers_of_all_kinds(database: str, value: Any, expected: float) -> None:
    with headrace.start_run() as run:
        headrace.log_metric("m", value)
    assert headrace.get_run(run.info.run_id).data.metrics == {"m": expected}


def test_nan_and_infinity_come_back(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_metric("single", math.nan)
        headrace.log_metrics({"batch": math.nan, "high": math.inf, "low": -math.inf})
    found = headrace.get_run(run.info.run_id)
    assert math.isnan(found.data.metrics["single"])
    assert math.isnan(found.data.metrics["batch"])
    assert (found.data.metrics["high"], found.data.metrics["low"]) == (math.inf, -math.inf)
    plain = found.to_dictionary()
    assert type(plain["data"]["metrics"]["high"]) is float


def test_history_has_every_point(uri: str) -> None:
    with headrace.start_run() as run:
        for step in range(5):
            headrace.log_metric("m", step * 10, step=step, timestamp=1000 + step)
        headrace.log_metric("m", 40, step=4, timestamp=1004)  # the same point once more
        headrace.log_metrics({"m": 7.5}, step=np.int64(9), timestamp=2000)  # type: ignore[arg-type]  # as programs do
    history = client().get_metric_history(run.info.run_id, "m")
    expected = [(1000 + n, n, n * 10.0) for n in range(5)] + [(2000, 9, 7.5)]
    assert [(p.timestamp, p.step, p.value) for p in history] == expected
    assert client().get_metric_history(run.info.run_id, "none") == []
    with pytest.raises(NotFound):
        client().get_metric_history("0" * 32, "m")


def test_history_comes_in_pages(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.client.run_calls.HISTORY_PAGE", 4)
    with headrace.start_run() as run:
        client().log_batch(run.info.run_id, [Metric("m", n, 1000 + n, n) for n in range(10)])
    history = client().get_metric_history(run.info.run_id, "m")
    assert [point.step for point in history] == list(range(10))


def test_params_are_written_once(uri: str) -> None:
    with headrace.start_run() as run:
        assert headrace.log_param("lr", 0.1) == 0.1
        assert headrace.log_param("lr", 0.1) == 0.1
        headrace.log_params({"depth": 3, "none": None, "list": [1, 2], "text": "ä\n"})
        with pytest.raises(InvalidRequest, match="lr"):
            headrace.log_param("lr", 0.2)
        with pytest.raises(InvalidRequest, match="lr"):
            headrace.log_params({"new": 1, "lr": 0.3})
    params = headrace.get_run(run.info.run_id).data.params
    assert params == {"lr": "0.1", "depth": "3", "none": "None", "list": "[1, 2]", "text": "ä\n"}


def test_tags_are_written_over_and_deleted(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.set_tag("a", 1)
        headrace.set_tags({"a": 2, "b": "x"})
        headrace.delete_tag("b")
        with pytest.raises(NotFound):
            headrace.delete_tag("b")
        headrace.set_tag("mlflow.runName", "renamed")
    found = headrace.get_run(run.info.run_id)
    assert found.data.tags["a"] == "2"
    assert "b" not in found.data.tags
    assert found.info.run_name == "renamed"


def test_more_than_a_batch_takes(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_metrics({f"m{n}": n for n in range(2500)})
        headrace.log_params({f"p{n}": n for n in range(250)})
        headrace.set_tags({f"t{n}": n for n in range(250)})
        client().log_batch(
            run.info.run_id,
            [Metric("x", n, n, n) for n in range(1001)],
            [Param(f"q{n}", "v") for n in range(101)],
            [RunTag(f"u{n}", "v") for n in range(101)],
        )
    data = headrace.get_run(run.info.run_id).data
    assert len(data.metrics) == 2501
    assert len(data.params) == 351
    assert sum(key[0] in "tu" for key in data.tags) == 351
    assert len(client().get_metric_history(run.info.run_id, "x")) == 1001


def test_batches_keep_to_every_limit_and_to_the_order() -> None:
    metrics = [{"key": str(n)} for n in range(2050)]
    params = [{"key": str(n)} for n in range(150)]
    tags = [{"key": str(n)} for n in range(99)]
    batches = list(values.batches(metrics, params, tags))
    for batch in batches:
        assert len(batch["params"]) <= 100
        assert len(batch["tags"]) <= 100
        assert sum(len(items) for items in batch.values()) <= 1000
    assert [m for batch in batches for m in batch["metrics"]] == metrics
    assert [p for batch in batches for p in batch["params"]] == params
    assert [t for batch in batches for t in batch["tags"]] == tags
    assert list(values.batches([], [], [])) == []


def test_a_mistake_in_a_later_batch_stops_the_first(database: str) -> None:
    with headrace.start_run() as run:
        names = {f"m{n}": 1.0 for n in range(1500)}
        with pytest.raises(InvalidRequest, match="bad"):
            headrace.log_metrics({**names, "bad\n": 1.0})
    assert headrace.get_run(run.info.run_id).data.metrics == {}


def test_asynchronous_calls_can_be_waited_for(database: str) -> None:
    with headrace.start_run() as run:
        calls = [
            headrace.log_metric("m", 1, synchronous=False),
            headrace.log_metrics({"n": 1}, synchronous=False),
            headrace.log_param("p", 0, synchronous=False),
            headrace.log_params({"q": 0}, synchronous=False),
            headrace.set_tag("t", 0, synchronous=False),
            headrace.set_tags({"u": 0}, synchronous=False),
        ]
        for call in calls:
            call.wait()
        assert headrace.log_metric("m", 1, synchronous=True) is None
        assert headrace.log_param("z", 0) == 0
    headrace.flush_async_logging()
    data = headrace.get_run(run.info.run_id).data
    assert (data.metrics, data.params) == ({"m": 1, "n": 1}, {"p": "0", "q": "0", "z": "0"})


def test_metrics_of_a_model_on_a_data_set(uri: str) -> None:
    data = Dataset("valid", "d1", source_type="local", source="{}")
    with headrace.start_run() as run:
        model = headrace.initialize_logged_model("net")
        headrace.log_metric("acc", 0.5, model_id=model.model_id, dataset=data)
        headrace.log_metrics({"f1": 0.25}, model_id=model.model_id, dataset=data)
        headrace.log_outputs([LoggedModelOutput(model.model_id, 3)])
        # Somewhere else than in the active run.
        other = client().create_run(run.info.experiment_id)
        headrace.log_metric("m", 1, run_id=other.info.run_id)
        headrace.log_metrics({"n": 2}, run_id=other.info.run_id)
        headrace.log_params({"p": 3}, run_id=other.info.run_id)
    found = {
        m.key: (m.value, m.dataset_name) for m in headrace.get_logged_model(model.model_id).metrics
    }
    assert found == {"acc": (0.5, "valid"), "f1": (0.25, "valid")}
    outputs = headrace.get_run(run.info.run_id).outputs.model_outputs
    assert [(output.model_id, output.step) for output in outputs] == [(model.model_id, 3)]
    data_of_other = headrace.get_run(other.info.run_id).data
    assert (data_of_other.metrics, data_of_other.params) == ({"m": 1, "n": 2}, {"p": "3"})


class PandasLike:
    """As MLflow's data sets: with to_dict()."""

    name = "train"
    digest = "abc"

    def to_dict(self) -> dict[str, Any]:
        source = '{"uri": "x.csv"}'
        return {
            "name": self.name,
            "digest": self.digest,
            "source_type": "local",
            "source": source,
            "schema": {"columns": 2},
            "profile": None,
        }


def test_data_sets_of_every_shape(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_input(PandasLike(), context="training", tags={"split": "a"})
        headrace.log_input(Dataset("plain", "1"))
        entry = DatasetInput(Dataset("entry", "2"), [InputTag("k", "v")])
        headrace.log_inputs([entry, Dataset("b", "3")], ["testing", None], [None, {"x": "y"}])
        client().log_inputs(run.info.run_id, [DatasetInput(Dataset("client", "4"), [])])
        with pytest.raises(InvalidRequest, match="'contexts' 1"):
            headrace.log_inputs([entry, entry], ["one"])
        with pytest.raises(InvalidRequest, match="to_dict"):
            headrace.log_input(object())
        with pytest.raises(InvalidRequest, match=r"digest"):
            headrace.log_input(Dataset("no digest", ""))
    inputs = headrace.get_run(run.info.run_id).inputs.dataset_inputs
    found = {
        i.dataset.name: (i.dataset.digest, {tag.key: tag.value for tag in i.tags}) for i in inputs
    }
    assert found == {
        "train": ("abc", {"mlflow.data.context": "training", "split": "a"}),
        "plain": ("1", {}),
        "entry": ("2", {"mlflow.data.context": "testing", "k": "v"}),
        "b": ("3", {"x": "y"}),
        "client": ("4", {}),
    }
    schemas = {i.dataset.name: i.dataset.schema for i in inputs}
    assert schemas["train"] == '{"columns": 2}'


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: headrace.log_metric("m", "high"), "'high' for metric 'm'.*number"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("m", None), "None for metric 'm'"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("m", np.zeros(2)), "metric 'm'"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("", 1), "key"),
    (lambda: headrace.log_metric("a//b", 1), "key"),
    (lambda: headrace.log_metric("a" * 251, 1), "250"),
    (lambda: headrace.log_metric(5, 1), "key"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("m", 1, step=2**63), "step"),
    (lambda: headrace.log_metric("m", 1, step=1.5), "step"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("m", 1, step="x"), "step"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metric("m", 1, timestamp=2**70), "timestamp"),
    (lambda: headrace.log_metric("m", 1, run_id="a/b"), "run_id"),
    (lambda: headrace.log_metrics([("m", 1)]), "metrics.*dictionary"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.log_metrics({"ok": 1, "no?": 1}), r"metrics\[1\]\.key"),
    (lambda: headrace.log_metrics({"m": "x"}), "metric 'm'"),  # type: ignore[dict-item]  # a mistake
    (lambda: headrace.log_param("../x", 1), "key"),
    (lambda: headrace.log_param("p", "x" * 100_001), "value.*100000"),
    (lambda: headrace.log_param("p", "\0"), "NUL"),
    (lambda: headrace.log_params("p"), "params.*dictionary"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.set_tag("a\nb", 1), "key"),
    (lambda: headrace.set_tags({1: 1}), "key"),  # type: ignore[dict-item]  # a mistake
    (lambda: headrace.start_run(nested=True, tags=["a"]), "tags"),  # type: ignore[arg-type]  # a mistake
    (lambda: headrace.start_run(nested=True, run_name="x" * 2000), "run_name"),
    (lambda: headrace.start_run(nested=True, experiment_id="one"), "experiment_id"),
    (lambda: headrace.create_experiment(""), "name"),
    (lambda: headrace.create_experiment("x" * 600), "name"),
    (lambda: headrace.create_experiment("x", "runs:/a/b"), "artifact_location"),
    (lambda: headrace.search_experiments(max_results=60_000, view_type=7), "view_type"),
    (lambda: headrace.Client().search_runs(["0"], max_results=0), "max_results"),
    (lambda: headrace.Client().update_run("0" * 32, status="NO"), "status"),
    (lambda: headrace.register_model("models:/", "m"), "models:/"),
    (lambda: headrace.Client().create_registered_model("a/b"), "name"),
    (lambda: headrace.Client().set_registered_model_alias("m", "v1", "1"), "alias"),
    (lambda: headrace.Client().get_model_version("m", "one"), "version"),
    (lambda: headrace.Client().transition_model_version_stage("m", 1, "Live"), "stage"),
    (lambda: headrace.set_model_version_tag("m", None, "k", "v"), "version"),
    (lambda: headrace.Client().finalize_logged_model("m-1", "DONE"), "status"),
    (lambda: headrace.Client().create_logged_model("0", name="a/b"), "name"),
    (lambda: headrace.set_experiment("a", "1"), "experiment_name"),
    (lambda: headrace.set_tracking_uri("ftp://x"), "ftp"),
]


class CutOff:
    """A store that nothing must reach."""

    def __getattr__(self, name: str) -> CutOff:
        return self

    def __call__(self, request: object) -> None:
        raise AssertionError(f"{request} was sent")


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_raise_before_anything_is_sent(
    database: str, mistake: Callable[[], object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace.start_run()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(Connection, "_store", CutOff())
        cut_off.setattr(Connection, "_registry", CutOff())
        with pytest.raises(InvalidRequest, match=expected):
            mistake()
