"""Metrics and files of the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.errors import InvalidRequest
from headrace.evaluation.evaluate import evaluate
from headrace.evaluation.extra_metrics import MetricValue, make_metric
from headrace.evaluation.result import EvaluationResult

TABLE = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 5.0]})

pytestmark = pytest.mark.usefixtures("database")


def judged(*metrics: Any, **options: Any) -> EvaluationResult:
    return evaluate(
        data=TABLE,
        targets="y",
        predictions="x",
        model_type="regressor",
        extra_metrics=metrics,
        **{"evaluator_config": {"figures": False}, **options},
    )


def test_functions_are_given_what_they_name() -> None:
    def worst(predictions: pd.Series, targets: pd.Series) -> float:
        return float((targets - predictions).max())

    def relative(metrics: dict[str, MetricValue], targets: pd.Series) -> float:
        aggregates = metrics["mean_absolute_error"].aggregate_results
        assert aggregates is not None
        return aggregates["mean_absolute_error"] / float(targets.mean())

    def classic(eval_df: pd.DataFrame, builtin_metrics: dict[str, float]) -> float:
        difference = eval_df["target"] - eval_df["prediction"]
        return float(difference.sum() + builtin_metrics["max_error"])

    def with_option(x: pd.Series, factor: float, absent: float = 2.0) -> float:
        return float(x.sum() * factor * absent)

    result = judged(worst, relative, classic, with_option, evaluator_config={"factor": 10})
    assert result.metrics["worst"] == 1.0
    assert result.metrics["relative"] == pytest.approx(0.25 / 2.75)
    assert result.metrics["classic"] == 2.0
    assert result.metrics["with_option"] == 200.0
    assert headrace.get_run(str(result.run_id)).data.metrics["worst"] == 1.0


def test_metrics_of_metrics_in_any_order() -> None:
    def third(second: MetricValue) -> float:
        assert second.aggregate_results is not None
        return second.aggregate_results["second"] + 1

    def second(predictions: pd.Series) -> float:
        return 1.0

    assert judged(third, second).metrics["third"] == 2.0


def test_a_metric_that_fails_is_named_and_the_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(predictions: pd.Series) -> float:
        raise ZeroDivisionError("by nothing")

    def none(predictions: pd.Series) -> None:
        return None

    def lost(colour: pd.Series) -> float:
        return 1.0

    def good(predictions: pd.Series) -> float:
        return 4.0

    result = judged(broken, none, lost, good)
    assert result.metrics["good"] == 4.0
    assert result.missing["broken"] == "it raised ZeroDivisionError: by nothing"
    assert "None" in result.missing["none"]
    assert "'colour'" in result.missing["lost"]
    assert "ZeroDivisionError" in caplog.text


def test_a_function_cannot_change_what_others_see() -> None:
    def greedy(predictions: pd.Series, targets: pd.Series) -> float:
        predictions[:] = 0.0
        targets[:] = 0.0
        return 0.0

    def later(predictions: pd.Series) -> float:
        return float(predictions.sum())

    assert judged(greedy, later).metrics["later"] == 10.0
    assert list(TABLE["x"]) == [1.0, 2.0, 3.0, 4.0]


def test_scores_of_rows_become_a_table() -> None:
    def distance(predictions: pd.Series, targets: pd.Series) -> MetricValue:
        scores = (targets - predictions).tolist()
        return MetricValue(scores, [f"off by {score}" for score in scores])

    result = judged(make_metric(eval_fn=distance, greater_is_better=False, version="v1"))
    assert result.metrics["distance/v1/mean"] == 0.25
    assert result.metrics["distance/v1/p90"] == pytest.approx(0.7)
    table = result.tables["eval_results_table"]
    assert list(table["distance/v1/score"]) == [0, 0, 0, 1]
    assert table["distance/v1/justification"][3] == "off by 1.0"
    assert headrace.load_table("eval_results_table.json", [str(result.run_id)]).shape == table.shape


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"eval_fn": lambda predictions: 1}, "'name' is missing"),
        ({"eval_fn": "f1"}, "'eval_fn' is of type str"),
        ({"eval_fn": sum, "name": "a/b"}, "slash"),
        ({"eval_fn": sum, "name": "a%b"}, "'name'"),
        ({"eval_fn": sum, "genai_metric_args": {}}, "language models"),
    ],
)
def test_metrics_that_make_no_sense(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        make_metric(**fields, greater_is_better=True)


def test_files_of_every_kind(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    def many(eval_df: pd.DataFrame, metrics: dict[str, MetricValue], folder: str) -> dict[str, Any]:
        note = Path(folder, "some.txt")
        note.write_text("said")
        figure = Figure()
        figure.add_subplot().plot([1, 2])
        return {
            "table": eval_df,
            "polars": pl.DataFrame({"a": [1]}),
            "array": np.arange(3),
            "figure": figure,
            "facts": {"n": np.int64(3)},
            "json": '{"a": 1}',
            "note": str(note),
        }

    result = judged(custom_artifacts=[many])
    content = {name: file.content for name, file in result.artifacts.items()}
    assert list(content["table"]["prediction"]) == [1.0, 2.0, 3.0, 4.0]
    assert content["polars"].shape == (1, 1)
    assert content["array"].tolist() == [0, 1, 2]
    assert content["figure"].size[0] > 100
    assert content["facts"] == {"n": 3}
    assert content["json"] == {"a": 1}
    assert content["note"] == "said"
    headrace.flush()
    names = {each.path for each in headrace.MlflowClient().list_artifacts(str(result.run_id))}
    assert {"table.csv", "array.npy", "figure.png", "facts.json", "note.txt"} <= names


def test_files_that_cannot_be_stored_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    program = tmp_path / "a.pkl"
    program.write_bytes(b"x")

    def mixed(eval_df: Any, metrics: Any, folder: str) -> dict[str, Any]:
        return {
            "thing": object(),
            "prose": "no JSON",
            "program": program,
            "../up": {"a": 1},
            "good": {"a": 1},
        }

    def broken(eval_df: Any, metrics: Any, folder: str) -> Any:
        raise ValueError("no")

    def nothing(eval_df: Any, metrics: Any, folder: str) -> Any:
        return None

    result = judged(custom_artifacts=[mixed, broken, nothing])
    assert "pickled" in result.missing["thing"]
    assert "JSON" in result.missing["prose"]
    assert ".csv" in result.missing["program"]
    assert "../up" in result.missing
    assert result.missing["broken"] == "it raised ValueError: no"
    assert "NoneType" in result.missing["nothing"]
    assert json.loads(result.artifacts["good"].data) == {"a": 1}
