"""The same models and data, evaluated by the real MLflow: the same names, the same values."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from headrace.errors import ModelValidationFailed
from headrace.evaluation.evaluate import evaluate
from headrace.evaluation.extra_metrics import make_metric
from headrace.evaluation.result import EvaluationResult
from headrace.evaluation.thresholds import MetricThreshold, validate_evaluation_results

mlflow = pytest.importorskip("mlflow", reason="no MLflow here: run in .bench/frameworks")

MLFLOWS_FAILURE = importlib.import_module(
    "mlflow.models.evaluation.validation"
).ModelValidationFailedException

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, and those of what it loads
]


@pytest.fixture(autouse=True)
def tracking(database: str, tmp_path: Path) -> Iterator[None]:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield
    while mlflow.active_run():
        mlflow.end_run()


def frame(loader: Any, names: bool = False) -> pd.DataFrame:
    loaded = loader(as_frame=True)
    table: pd.DataFrame = loaded.frame
    if names:
        table["target"] = [str(loaded.target_names[code]) for code in table["target"]]
    return table


def of_mlflow(model: BaseEstimator | None, table: Any, **options: Any) -> Any:
    """MLflow's result; it takes an estimator only as a model that was logged."""
    if model is not None:
        info = mlflow.sklearn.log_model(
            model, name="model", pip_requirements=[], serialization_format="cloudpickle"
        )
        options["model"] = info.model_uri
    return mlflow.models.evaluate(data=table, **options)


def assert_same(ours: EvaluationResult, theirs: Any) -> None:
    assert set(theirs.metrics) <= set(ours.metrics)
    for name, value in theirs.metrics.items():
        assert ours.metrics[name] == pytest.approx(float(value), rel=1e-9, abs=1e-9), name


CLASSIFIERS = [
    make_pipeline(StandardScaler(), LogisticRegression()),
    RandomForestClassifier(20, random_state=0),
    make_pipeline(StandardScaler(), LinearSVC()),  # without probabilities
]


@pytest.mark.parametrize("model", CLASSIFIERS)
@pytest.mark.parametrize("loader", [load_iris, load_breast_cancer])
@pytest.mark.parametrize("names", [False, True])
def test_classifiers(model: Any, loader: Any, names: bool) -> None:
    table = frame(loader, names)
    train, test = table[::2], table[1::2]
    model.fit(train.drop(columns="target"), train["target"])
    options: dict[str, Any] = {"targets": "target", "model_type": "classifier"}
    assert_same(evaluate(model, test, **options), of_mlflow(model, test, **options))


@pytest.mark.parametrize(
    "config",
    [
        {"pos_label": 0},
        {"average": "macro"},
        {"average": "micro"},
        {"metric_prefix": "test_"},
        {"weighted": True},
    ],
)
@pytest.mark.parametrize("loader", [load_iris, load_breast_cancer])
def test_options(config: dict[str, Any], loader: Any) -> None:
    table = frame(loader)
    train, test = table[::2], table[1::2]
    model = RandomForestClassifier(5, max_depth=2, random_state=0)
    model.fit(train.drop(columns="target"), train["target"])
    if "pos_label" in config and loader is load_iris:
        pytest.skip("three classes have no positive one")
    if "weighted" in config:
        config = {"sample_weights": np.random.default_rng(0).random(len(test)) + 0.5}
    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "classifier",
        "evaluator_config": config,
    }
    assert_same(evaluate(model, test, **options), of_mlflow(model, test, **options))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", [LinearRegression(), RandomForestRegressor(20, random_state=0)])
def test_regressors(model: Any, weighted: bool) -> None:
    table = frame(load_diabetes)
    train, test = table[::2], table[1::2]
    model.fit(train.drop(columns="target"), train["target"])
    options: dict[str, Any] = {"targets": "target", "model_type": "regressor"}
    if weighted:
        weights = np.random.default_rng(0).random(len(test)) + 0.5
        options["evaluator_config"] = {"sample_weights": weights}
    assert_same(evaluate(model, test, **options), of_mlflow(model, test, **options))


@pytest.mark.parametrize("model_type", ["classifier", "regressor"])
def test_predictions_without_a_model(model_type: str) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"x": random.random(80), "truth": random.integers(0, 2, 80)})
    table["said"] = random.integers(0, 2, 80)
    options: dict[str, Any] = {
        "targets": "truth",
        "predictions": "said",
        "model_type": model_type,
    }
    assert_same(evaluate(data=table, **options), of_mlflow(None, table, **options))


def test_per_class_metrics() -> None:
    table = frame(load_iris, names=True)
    model = RandomForestClassifier(5, max_depth=2, random_state=0)
    model.fit(table[::2].drop(columns="target"), table[::2]["target"])
    options: dict[str, Any] = {"targets": "target", "model_type": "classifier"}
    ours = evaluate(model, table, **options).tables["per_class_metrics"]
    theirs = of_mlflow(model, table, **options).artifacts["per_class_metrics"].content
    pd.testing.assert_frame_equal(ours[theirs.columns], theirs, check_dtype=False)


def own_metrics(maker: Any) -> list[Any]:
    def classic(eval_df: Any, builtin_metrics: Any) -> float:
        return float((eval_df["prediction"] - eval_df["target"]).abs().median())

    def named(predictions: Any, targets: Any, metrics: Any) -> float:
        return float((predictions - targets).max())

    def of_a_column(predictions: Any, bmi: Any) -> float:
        return float((predictions * bmi).sum())

    def derived(of_a_column: Any, scale: float, predictions: Any) -> float:
        return float(of_a_column.aggregate_results["of_a_column"] * scale)

    functions = [derived, classic, named, of_a_column]
    return [maker(eval_fn=function, greater_is_better=False) for function in functions]


def test_metrics_of_ones_own() -> None:
    table = frame(load_diabetes)
    model = LinearRegression().fit(table.drop(columns="target"), table["target"])
    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "regressor",
        "evaluator_config": {"scale": 3.0},
    }
    ours = evaluate(model, table, extra_metrics=own_metrics(make_metric), **options)
    theirs = of_mlflow(
        model, table, extra_metrics=own_metrics(mlflow.models.make_metric), **options
    )
    assert "derived" in theirs.metrics
    assert_same(ours, theirs)


def test_each_loads_what_the_other_saved(tmp_path: Path) -> None:
    table = frame(load_breast_cancer)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(table.drop(columns="target"), table["target"])
    options: dict[str, Any] = {"targets": "target", "model_type": "classifier"}
    ours, theirs = evaluate(model, table, **options), of_mlflow(model, table, **options)
    ours.save(tmp_path / "ours")
    theirs.save(str(tmp_path / "theirs"))
    read = mlflow.models.EvaluationResult.load(str(tmp_path / "ours"))
    assert read.metrics == ours.metrics
    assert read.artifacts["roc_curve_plot"].content.size[0] > 100
    assert set(EvaluationResult.load(tmp_path / "theirs").artifacts) == set(theirs.artifacts)


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize("candidate", [0.5, 0.8, 0.85, -0.3])
@pytest.mark.parametrize("baseline", [0.8, 0.0, -0.5])
@pytest.mark.parametrize(
    "bounds",
    [{"threshold": 0.8}, {"min_absolute_change": 0.04}, {"min_relative_change": 0.05}],
)
def test_verdicts(
    greater: bool, candidate: float, baseline: float, bounds: dict[str, float]
) -> None:
    def passes(threshold: Any, validate: Any, result: Any) -> bool:
        thresholds = {"m": threshold(**bounds, greater_is_better=greater)}
        try:
            validate(thresholds, result({"m": candidate}, {}), result({"m": baseline}, {}))
        except (ModelValidationFailed, MLFLOWS_FAILURE):
            return False
        return True

    theirs = passes(
        mlflow.models.MetricThreshold,
        mlflow.validate_evaluation_results,
        mlflow.models.EvaluationResult,
    )
    assert passes(MetricThreshold, validate_evaluation_results, EvaluationResult) is theirs
