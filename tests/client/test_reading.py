"""Reading runs and metrics as lists, arrays and tables."""

from __future__ import annotations

import logging
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.client import reading
from headrace.entities import Metric

FACTS = ["run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"]


def three_runs() -> list[str]:
    """One that measured, one that was told, and one that is still going and did neither."""
    with headrace.start_run(run_name="one", tags={"order": 1}) as first:
        headrace.log_metrics({"loss": 0.5, "nan": math.nan, "inf": math.inf}, step=1, timestamp=1)
        headrace.log_metrics({"loss": 0.25}, step=2, timestamp=2)
    with headrace.start_run(run_name="two", tags={"order": 2}) as second:
        headrace.log_params({"größe/µ": "ü", "lr": 0.1})
        headrace.log_metric("loss", 0.75, step=1, timestamp=3)
    third = headrace.start_run(run_name="three", tags={"order": 3})
    return [run.info.run_id for run in (first, second, third)]


def test_runs_as_a_pandas_frame(uri: str) -> None:
    runs = three_runs()
    frame = headrace.search_runs(order_by=["tags.order ASC"])
    assert list(frame.columns[:6]) == FACTS
    assert frame["run_id"].tolist() == runs
    assert frame["status"].tolist() == ["FINISHED", "FINISHED", "RUNNING"]
    assert {str(frame[name].dtype) for name in ("start_time", "end_time")} == {
        f"datetime64[{pd.to_datetime(0, unit='ms').unit}, UTC]"
    }
    assert frame["end_time"].isna().tolist() == [False, False, True]
    assert frame["metrics.loss"].tolist()[:2] == [0.25, 0.75]
    assert frame["metrics.inf"].tolist()[0] == math.inf
    assert frame["metrics.nan"].isna().all()
    assert frame["metrics.nan"].dtype == np.float64
    assert frame["params.größe/µ"].tolist()[1] == "ü"
    assert frame["params.lr"].isna().tolist() == [True, False, True]
    assert frame["tags.mlflow.runName"].tolist() == ["one", "two", "three"]


def test_runs_as_a_polars_frame(uri: str) -> None:
    runs = three_runs()
    frame = headrace.search_runs(order_by=["tags.order ASC"], output_format="polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns[:6] == FACTS
    assert set(frame.columns) == set(headrace.search_runs().columns)
    assert frame["run_id"].to_list() == runs
    assert frame.schema["start_time"] == pl.Datetime("ms", "UTC")
    assert frame["end_time"].is_null().to_list() == [False, False, True]
    assert frame["metrics.loss"].to_list() == [0.25, 0.75, None]
    assert frame["metrics.nan"].is_nan().to_list() == [True, None, None]
    assert frame["metrics.inf"].to_list() == [math.inf, None, None]
    assert frame["params.größe/µ"].to_list() == [None, "ü", None]
    assert frame.schema["params.lr"] == pl.String


def test_no_runs(uri: str) -> None:
    assert headrace.search_runs(output_format="list") == []
    frame = headrace.search_runs()
    assert (frame.shape, list(frame.columns)) == ((0, 6), FACTS)
    polars = headrace.search_runs(output_format="polars")
    assert (polars.shape, polars.columns) == ((0, 6), FACTS)
    assert polars.schema["end_time"] == pl.Datetime("ms", "UTC")


def test_many_pages(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "RUNS_PAGE", 3)
    for number in range(8):
        with headrace.start_run():
            headrace.log_param("n", number)
    frame = headrace.search_runs(order_by=["params.n DESC"])
    assert frame["params.n"].tolist() == [str(number) for number in range(7, -1, -1)]
    assert len(headrace.search_runs(max_results=4)) == 4


def test_an_unknown_format_is_refused_before_anything_is_asked() -> None:
    headrace.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(headrace.MlflowException, match="'pandas', 'polars', 'list'"):
        headrace.search_runs(output_format="csv")  # type: ignore[call-overload]  # a mistake
    with pytest.raises(headrace.MlflowException, match="'list', 'numpy', 'pandas', 'polars'"):
        headrace.get_metric_history("0" * 32, "m", "csv")  # type: ignore[call-overload]  # a mistake


def test_a_misspelt_experiment_is_named(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace"):
        assert headrace.search_runs(experiment_names=["nowhere"], output_format="list") == []
    assert "'nowhere'" in caplog.text


LISTS = """
import headrace, sys
headrace.set_tracking_uri({uri!r})
run = headrace.search_runs(["{experiment}"], output_format="list")[0].info.run_id
assert headrace.get_metric_history(run, "loss")
heavy = {{"pandas", "polars", "numpy"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_lists_need_no_library(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_metric("loss", 1.0)
    assert headrace.flush()
    program = LISTS.format(uri=uri, experiment=run.info.experiment_id)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_without_the_library_the_message_says_what_to_do(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with headrace.start_run() as run:
        headrace.log_metric("m", 1)
    for library in ("pandas", "polars", "numpy"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(headrace.MlflowException, match=f"pip install {library}"):
            headrace.get_metric_history(run.info.run_id, "m", library)  # type: ignore[call-overload]  # each in turn
    for library in ("pandas", "polars"):
        with pytest.raises(headrace.MlflowException, match=f"pip install {library}"):
            headrace.search_runs(output_format=library)  # type: ignore[call-overload]  # each in turn


def test_the_history_of_one_metric(uri: str) -> None:
    first, _, third = three_runs()
    points = headrace.get_metric_history(first, "loss")
    assert points == [
        Metric("loss", 0.5, 1, 1, run_id=first),
        Metric("loss", 0.25, 2, 2, run_id=first),
    ]
    arrays = headrace.get_metric_history(first, "loss", output_format="numpy")
    assert {name: array.dtype.str[1:] for name, array in arrays.items()} == {
        "run_id": "O",
        "key": "O",
        "step": "i8",
        "timestamp": "M8[ms]",
        "value": "f8",
    }
    assert arrays["step"].tolist() == [1, 2]
    assert arrays["value"].tolist() == [0.5, 0.25]
    assert headrace.get_metric_history(third, "loss") == []
    assert headrace.get_metric_history(third, "loss", output_format="pandas").empty
    with pytest.raises(headrace.MlflowException) as caught:
        headrace.get_metric_history("0" * 32, "loss")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_the_histories_of_several_metrics_and_runs(uri: str) -> None:
    first, second, third = three_runs()
    frame = headrace.get_metric_history([second, first], "loss", output_format="pandas")
    assert list(frame.columns) == ["run_id", "key", "step", "timestamp", "value"]
    assert frame["run_id"].tolist() == [second, first, first]
    assert frame["value"].tolist() == [0.75, 0.5, 0.25]
    assert frame["timestamp"].iloc[1] == pd.Timestamp(1, unit="ms", tz="UTC")
    every = headrace.get_metric_history([first, second, third], output_format="polars")
    assert every["key"].to_list() == ["inf", "loss", "loss", "nan", "loss"]
    assert every.schema == pl.Schema(
        {
            "run_id": pl.String,
            "key": pl.String,
            "step": pl.Int64,
            "timestamp": pl.Datetime("ms", "UTC"),
            "value": pl.Float64,
        }
    )
    assert [point.key for point in headrace.get_metric_history(first, ["nan", "inf"])] == [
        "nan",
        "inf",
    ]
    empty = headrace.get_metric_history([], output_format="pandas")
    assert (len(empty), str(empty["value"].dtype)) == (0, "float64")
