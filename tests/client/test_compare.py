"""What differs between runs, and only that."""

from __future__ import annotations

import json
import math

import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.client.capture import PACKAGES_FILE
from headrace.client.compare import RunComparison, comparison_of
from headrace.entities import Dataset, Run, RunData, RunInfo, RunStatus


def run_with(
    name: str = "r",
    metrics: dict[str, float] | None = None,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> Run:
    info = RunInfo(
        run_id=name * 32,
        run_uuid=name * 32,
        experiment_id="1",
        run_name=name,
        user_id="ada",
        status=RunStatus.FINISHED,
        start_time=1,
        end_time=2,
        artifact_uri="a",
        lifecycle_stage="active",
    )
    return Run(info, RunData(metrics or {}, params or {}, tags or {}))


def trained(name: str, rate: float, digest: str, **tags: str) -> str:
    with headrace.start_run(run_name=name, tags=tags) as run:
        headrace.log_params({"lr": rate, "depth": 3})
        headrace.log_metric("loss", 1.0, step=0)
        headrace.log_metric("loss", rate, step=1)
        headrace.log_metric("nan", math.nan)
        headrace.log_input(Dataset("iris", digest, "local", "{}"), "training")
    return run.info.run_id


def trained_in(uri: str) -> str:
    """The id of this test's experiment."""
    with headrace.start_run() as run:
        return run.info.experiment_id


def test_what_differs_and_only_that(uri: str) -> None:
    commits = ("a" * 40, "b" * 40)
    first, second = (
        trained(name, rate, digest, **{"mlflow.source.git.commit": commit, "team": "x"})
        for name, rate, digest, commit in zip(
            ("one", "two"), (0.1, 0.2), ("d1", "d2"), commits, strict=True
        )
    )
    compared = headrace.compare_runs([first, second])
    assert compared.params == {"lr": ["0.1", "0.2"]}
    assert compared.metrics == {"loss": [0.1, 0.2]}
    assert compared.datasets == {"training": ["iris (d1)", "iris (d2)"]}
    assert compared.code == {"git.commit": list(commits)}
    assert (compared.tags, compared.attributes, compared.packages) == ({}, {}, {})
    assert headrace.compare_runs([first, first]).differences == {}
    assert [run.info.run_id for run in compared.runs] == [first, second]


def test_runs_come_as_ids_as_runs_and_as_tables(uri: str) -> None:
    ids = [trained("one", 0.1, "d"), trained("two", 0.2, "d"), trained("three", 0.3, "d")]
    expected = headrace.compare_runs(ids).to_dict()
    assert expected["params"] == {"lr": ["0.1", "0.2", "0.3"]}
    by_rate = ["params.lr ASC"]
    tables = (
        [headrace.get_run(run_id) for run_id in ids],
        headrace.search_runs(order_by=by_rate),
        headrace.search_runs(order_by=by_rate, output_format="polars"),
        headrace.search_runs(order_by=by_rate, output_format="list"),
    )
    for given in tables:
        assert headrace.compare_runs(given).to_dict() == expected


def test_mistakes(database: str) -> None:
    with pytest.raises(headrace.MlflowException, match="two runs or more, found 1"):
        headrace.compare_runs([trained("one", 0.1, "d")])
    with pytest.raises(headrace.MlflowException, match="one text"):
        headrace.compare_runs("0" * 32)
    with pytest.raises(headrace.MlflowException) as caught:
        headrace.compare_runs(["0" * 32, "1" * 32])
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_noise_is_no_difference() -> None:
    noisy = {"mlflow.runName": "1", "mlflow.note.content": "x", "mlflow.parentRunId": "p"}
    assert comparison_of([run_with("a", tags=noisy), run_with("b")]).differences == {}


def test_what_a_run_lacks_is_a_difference_and_nan_equals_nan() -> None:
    compared = comparison_of(
        [
            run_with("a", {"m": 1.0, "nan": math.nan}, {"p": "1"}, {"stage": "dev"}),
            run_with("b", {"nan": math.nan}, {}, {"stage": "dev"}),
            run_with("c", {"m": 2.0, "nan": math.nan}, {"p": "1"}),
        ]
    )
    assert compared.differences == {
        "params.p": ["1", None, "1"],
        "metrics.m": [1.0, None, 2.0],
        "tags.stage": ["dev", "dev", None],
    }


def test_the_sections_of_tags() -> None:
    first = {"headrace.python": "3.11", "mlflow.source.git.branch": "main", "k": "1"}
    second = {"headrace.python": "3.12", "mlflow.source.git.branch": "dev", "k": "2"}
    compared = comparison_of([run_with("a", tags=first), run_with("b", tags=second)])
    assert compared.environment == {"python": ["3.11", "3.12"]}
    assert compared.code == {"git.branch": ["main", "dev"]}
    assert compared.tags == {"k": ["1", "2"]}


def test_versions_of_packages(uri: str) -> None:
    ids = []
    for number, listed in enumerate(("numpy==1\nrich==9\n", "numpy==2\nrich==9\nx==1\n", None)):
        run = headrace.Client().create_run(trained_in(uri), run_name=f"r{number}")
        ids.append(run.info.run_id)
        if listed is not None:
            headrace.log_text(listed, PACKAGES_FILE, run_id=run.info.run_id)
    compared = headrace.compare_runs(ids)
    assert compared.packages == {"numpy": ["1", "2", None], "x": [None, "1", None]}
    assert headrace.compare_runs(ids, packages=False).packages == {}
    assert headrace.compare_runs([ids[0], ids[2]]).packages == {}


def two() -> RunComparison:
    return comparison_of([run_with("a", {"m": 1.0}, {"p": "1"}), run_with("b", {}, {"p": "2"})])


def test_as_data() -> None:
    frame = two().to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["run_id", "run_name", "params.p", "metrics.m"]
    assert frame["metrics.m"].dtype == "float64"
    polars = two().to_polars()
    assert polars.schema["metrics.m"] == pl.Float64
    assert polars["metrics.m"].to_list() == [1.0, None]
    assert polars["params.p"].to_list() == ["1", "2"]
    assert json.loads(json.dumps(two().to_dict()))["params"] == {"p": ["1", "2"]}


def test_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = repr(two()).splitlines()
    assert lines[0].split() == ["a", "b"]
    assert [line.split() for line in lines[2:]] == [["params.p", "1", "2"], ["metrics.m", "1", "-"]]
    many = [run_with(f"{number:032}", params={"p": f"{number}\x1b[2J"}) for number in range(20)]
    shown = repr(comparison_of(many))
    assert max(map(len, shown.splitlines())) <= 100
    assert "more runs: see to_pandas()" in shown
    assert "\x1b" not in shown
    assert "(no difference)" in repr(comparison_of([run_with("a"), run_with("b")]))
