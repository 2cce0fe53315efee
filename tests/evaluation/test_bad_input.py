"""What makes no sense is refused by name, before the model is run; no run is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.errors import InvalidRequest
from headrace.evaluation.evaluate import evaluate

TABLE = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [0, 1, 1], "hole": [1.0, None, 3.0]})


@pytest.fixture(autouse=True)
def no_run_is_left(database: str) -> Iterator[None]:
    yield
    assert headrace.active_run() is None
    assert headrace.search_runs(output_format="list") == []


def untouched(rows: Any) -> Any:
    raise AssertionError("the model was run")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model_type": "ranker"}, "'ranker' for 'model_type'"),
        ({"model_type": "text"}, "Language models"),
        ({"model_type": None}, "'extra_metrics'"),
        ({"evaluators": "shap"}, "'shap' in 'evaluators'"),
        ({"evaluators": ["default", "mine"]}, "'mine' in 'evaluators'"),
        ({"evaluator_config": 3}, "'evaluator_config' is of type int"),
        ({"evaluator_config": {"average": "samples"}}, "'samples' for 'average'"),
        ({"evaluator_config": {"metric_prefix": 3}}, "'metric_prefix'"),
        ({"evaluator_config": {"calibration_n_bins": 0}}, "'calibration_n_bins'"),
        ({"evaluator_config": {"sample_weights": [1, 2]}}, "'sample_weights' has 2 values"),
        ({"env_manager": "conda"}, "'conda' for 'env_manager'"),
        ({"data": None}, "'data' is missing"),
        ({"data": TABLE[:0]}, "no rows"),
        ({"data": "table.csv"}, "'data' is of type str"),
        ({"data": pl.LazyFrame({"x": [1]})}, "collect"),
        ({"data": np.zeros((3, 2))}, "give 'targets' as an array"),
        ({"data": [[1], [2, 3]]}, "'data'"),
        ({"targets": "z"}, "'targets' is 'z', which is no column. There are: 'x', 'y', 'hole'"),
        ({"targets": "hole"}, "'targets' has no value in 1 of 3 rows, the first of them row 1"),
        ({"targets": [0, 1]}, "'targets' has 2 values, the data 3 rows"),
        ({"targets": [0, None, 1]}, "'targets' has no value in 1 of 3"),
        ({"targets": np.zeros((3, 2))}, r"'targets' has the shape \(3, 2\)"),
        ({"targets": None}, "'targets' is missing"),
        ({"predictions": [0, 1, 1]}, "beside a 'model'"),
        ({"feature_names": ["x", "x"]}, "twice"),
        ({"feature_names": ["z"]}, "'z', which is no column"),
        ({"model": 3}, "'model' is of type int"),
        ({"model": "endpoints:/chat"}, "endpoint"),
        ({"inference_params": {"t": 1}}, "'inference_params'"),
        ({"model_config": {"t": 1}}, "'model_config'"),
        ({"extra_metrics": [3]}, "'extra_metrics' has a int at place 0"),
        ({"extra_metrics": [lambda predictions: 1]}, "'name' is missing"),
        ({"custom_artifacts": [3]}, "'custom_artifacts' has a int at place 0"),
        ({"thresholds": {"f1_score": 0.9}}, "0.9 for 'f1_score' in 'thresholds'"),
        ({"slices": ["z"]}, "no column 'z'"),
        ({"slices": [3]}, "in 'slices'"),
        ({"slices": [{"name": "a"}]}, "neither 'where' nor 'by'"),
        ({"slices": [{"name": "a", "where": [1, 2, 3]}]}, "each True or False"),
        ({"slices": [{"name": "a", "where": [True]}]}, "expected 3 values"),
        ({"slices": [{"name": "a", "where": [False] * 3}]}, "'a' has no rows"),
        ({"slices": [{"name": "a", "where": lambda t: t["z"] > 1}]}, "'a' raised KeyError"),
        ({"slices": [{"name": "a", "by": [1]}]}, "'a' have the shape"),
        ({"slices": ["x", "x"]}, "twice"),
    ],
)
def test_refused_before_the_model_is_run(given: dict[str, Any], said: str) -> None:
    calling: dict[str, Any] = {
        "model": untouched,
        "data": TABLE,
        "targets": "y",
        "model_type": "classifier",
    }
    with pytest.raises(InvalidRequest, match=said):
        evaluate(**(calling | given))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (None, "The function 'model' gave None"),
        (3, "gave a int"),
        ([0, 1], "gave 2 predictions for 3 rows"),
        ([0, None, 1], "'predictions' has no value in 1 of 3"),
        ([[0], [1, 2], [3]], "'predictions' cannot be read|has the shape"),
        ({"a": [0, 1, 1], "b": [1, 1, 1]}, "several outputs"),
        ([0.5, 0.3, 0.2], "give probabilities|Give probabilities"),
        (["0", "1", "1"], "different types"),
        ([[0.2, 1.8], [0, 1], [0, 1]], "from 0 to 1.8"),
    ],
)
def test_outputs_that_are_no_predictions(output: Any, said: str) -> None:
    def model(rows: Any) -> Any:
        return output

    with pytest.raises(InvalidRequest, match=said):
        evaluate(model, TABLE, targets="y", model_type="classifier")


def test_a_model_that_fails_is_named_with_the_rows_it_was_given() -> None:
    def fragile(rows: pd.DataFrame) -> Any:
        raise KeyError("colour")

    with pytest.raises(InvalidRequest) as failed:
        evaluate(fragile, TABLE, targets="y", model_type="classifier")
    message = failed.value.message
    assert "The function 'fragile' failed in predict: KeyError: 'colour'" in message
    assert "It was given 3 rows, which begin with:" in message
    assert "hole" in message
    assert isinstance(failed.value.__cause__, KeyError)


def test_neither_a_model_nor_predictions() -> None:
    with pytest.raises(InvalidRequest, match="neither a 'model' nor 'predictions'"):
        evaluate(data=TABLE, targets="y", model_type="regressor")


@pytest.mark.parametrize(
    ("targets", "said"),
    [(["a", "b", "c"], "'targets' are no numbers"), ([1.0, np.inf, 2.0], "inf in row 1")],
)
def test_a_regression_needs_numbers(targets: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        evaluate(data=TABLE, targets=targets, predictions="x", model_type="regressor")


def test_labels_that_are_not_in_the_list() -> None:
    options: dict[str, Any] = {"targets": "y", "predictions": "y", "model_type": "classifier"}
    with pytest.raises(InvalidRequest, match="'label_list' has no 1"):
        evaluate(data=TABLE, evaluator_config={"label_list": [0, 2]}, **options)
    with pytest.raises(InvalidRequest, match="'pos_label' is 7"):
        evaluate(data=TABLE, evaluator_config={"pos_label": 7}, **options)


def test_negative_weights() -> None:
    with pytest.raises(InvalidRequest, match="negative"):
        evaluate(
            data=TABLE,
            targets="y",
            predictions="y",
            model_type="classifier",
            evaluator_config={"sample_weights": [1, -1, 1]},
        )


def test_a_data_set_says_what_its_targets_are() -> None:
    data = headrace.data.from_pandas(TABLE, targets="y")
    with pytest.raises(InvalidRequest, match="leave 'targets' out"):
        evaluate(untouched, data, targets="y", model_type="classifier")


def test_another_model_id_than_the_models() -> None:
    class Model:
        metadata = None
        model_id = "m-" + "a" * 32

        def predict(self, rows: Any) -> Any:
            return rows["y"]

    with pytest.raises(InvalidRequest, match="leave 'model_id' out"):
        evaluate(
            Model(),
            TABLE,
            targets="y",
            model_type="classifier",
            model_id="m-" + "b" * 32,
            feature_names=["y"],
        )
