"""`evaluate` from end to end: every form of model and data, and what the run has afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headrace
from headrace.client.entities import Run
from headrace.errors import ModelValidationFailed
from headrace.evaluation.evaluate import evaluate
from headrace.evaluation.result import EvaluationResult

pytestmark = pytest.mark.usefixtures("database")

NO_FIGURES = {"figures": False}


@pytest.fixture(scope="module")
def cancer() -> pd.DataFrame:
    table: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return table


@pytest.fixture(scope="module")
def classifier(cancer: pd.DataFrame) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(cancer.drop(columns="target")[::2], cancer["target"][::2])


def run_of(result: EvaluationResult) -> Run:
    """The run, with all that was logged to it."""
    headrace.flush()
    assert result.run_id is not None
    return headrace.get_run(result.run_id)


def logged(result: EvaluationResult) -> dict[str, float]:
    metrics: dict[str, float] = run_of(result).data.metrics
    return metrics


def files(result: EvaluationResult) -> set[str]:
    listed = headrace.MlflowClient().list_artifacts(run_of(result).info.run_id)
    return {each.path for each in listed}


def test_a_run_has_metrics_files_and_the_data_set(cancer: pd.DataFrame, classifier: Any) -> None:
    result = evaluate(classifier, cancer, targets="target", model_type="classifier")
    run = run_of(result)
    assert run.info.status == "FINISHED"
    assert headrace.active_run() is None
    assert run.data.metrics == pytest.approx(result.metrics)
    assert result.metrics["example_count"] == len(cancer)
    assert result.metrics["score"] == result.metrics["accuracy_score"] > 0.95
    (noted,) = run.inputs.dataset_inputs
    assert [(tag.key, tag.value) for tag in noted.tags] == [("mlflow.data.context", "eval")]
    own = headrace.data.from_pandas(cancer, targets="target")
    assert noted.dataset.digest == own.digest
    assert files(result) == {
        "calibration_curve_data.csv",
        "calibration_curve_plot.png",
        "confusion_matrix.png",
        "confusion_matrix_data.csv",
        "feature_importance.csv",
        "feature_importance_plot.png",
        "per_class_metrics.csv",
        "pr_curve_data.csv",
        "precision_recall_curve_plot.png",
        "roc_curve_data.csv",
        "roc_curve_plot.png",
    }
    assert {file.file_name for file in result.artifacts.values()} == files(result)


def test_the_active_run_is_used_and_stays(cancer: pd.DataFrame, classifier: Any) -> None:
    with headrace.start_run() as run:
        result = evaluate(classifier, cancer, targets="target", model_type="classifier")
        headrace.log_metric("after", 1)
    assert result.run_id == run.info.run_id
    assert {"after", "roc_auc"} <= set(logged(result))


def test_metrics_are_those_of_the_model_on_the_data(cancer: pd.DataFrame, classifier: Any) -> None:
    model = headrace.initialize_logged_model("judged")
    result = evaluate(
        classifier,
        cancer,
        targets="target",
        model_type="classifier",
        model_id=model.model_id,
        evaluator_config=NO_FIGURES,
    )
    headrace.flush()
    found = headrace.get_logged_model(model.model_id)
    measured = {metric.key: metric for metric in found.metrics}
    assert measured["roc_auc"].value == pytest.approx(result.metrics["roc_auc"])
    assert measured["roc_auc"].run_id == result.run_id
    (noted,) = run_of(result).inputs.dataset_inputs
    assert measured["roc_auc"].dataset_digest == noted.dataset.digest
    inputs = run_of(result).inputs.model_inputs
    assert [each.model_id for each in inputs] == [model.model_id]


def test_the_active_model_is_meant_where_none_is_named(cancer: pd.DataFrame) -> None:
    model = headrace.initialize_logged_model("active")
    with headrace.set_active_model(model_id=model.model_id):
        evaluate(
            data=cancer,
            targets="target",
            predictions="target",
            model_type="classifier",
            evaluator_config=NO_FIGURES,
        )
    headrace.flush()
    metrics = headrace.get_logged_model(model.model_id).metrics
    assert "accuracy_score" in {metric.key for metric in metrics}


def as_pandas(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x.assign(target=y), "targets": "target"}


def as_pandas_and_array(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x, "targets": y.to_numpy()}


def as_pandas_and_series(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x, "targets": y[::-1][::-1]}


def as_polars(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": pl.DataFrame(x.assign(target=y).to_dict("list")), "targets": "target"}


def as_polars_and_list(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": pl.DataFrame(x.to_dict("list")), "targets": y.tolist()}


def as_arrays(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x.to_numpy(), "targets": y.to_numpy(), "feature_names": list(x.columns)}


def as_dictionaries(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x.to_dict("records"), "targets": y}


def as_lists(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": x.to_numpy().tolist(), "targets": y.tolist()}


def as_pandas_dataset(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": headrace.data.from_pandas(x.assign(target=y), targets="target")}


def as_polars_dataset(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    table = pl.DataFrame(x.assign(target=y).to_dict("list"))
    return {"data": headrace.data.from_polars(table, targets="target")}


def as_numpy_dataset(x: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    return {"data": headrace.data.from_numpy(x.to_numpy(), targets=y.to_numpy())}


@pytest.mark.filterwarnings("ignore:X (has|does not have) .*feature names:UserWarning")
@pytest.mark.parametrize(
    "form",
    [
        as_pandas,
        as_pandas_and_array,
        as_pandas_and_series,
        as_polars,
        as_polars_and_list,
        as_arrays,
        as_dictionaries,
        as_lists,
        as_pandas_dataset,
        as_polars_dataset,
        as_numpy_dataset,
    ],
)
def test_data_in_every_form(form: Callable[..., dict[str, Any]]) -> None:
    table = load_diabetes(as_frame=True)
    x, y = table.data, table.target
    model = LinearRegression().fit(x, y)
    given = form(x, y)
    slices = None if form in (as_lists, as_numpy_dataset) else ["sex"]
    result = evaluate(
        model, **given, model_type="regressor", slices=slices, evaluator_config=NO_FIGURES
    )
    assert result.metrics["r2_score"] == pytest.approx(model.score(x, y))
    if slices:
        assert len(result.tables["slices"]) == 2


def test_models_in_every_form(cancer: pd.DataFrame, classifier: Any) -> None:
    def by_hand(table: pd.DataFrame) -> list[int]:
        return [int(code) for code in classifier.predict(table)]

    def as_table(table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"said": classifier.predict(table), "noise": 0.5})

    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "classifier",
        "evaluator_config": NO_FIGURES,
    }
    expected = evaluate(classifier, cancer, **options).metrics["f1_score"]
    features = cancer.drop(columns="target")
    said = cancer.assign(said=classifier.predict(features))
    assert evaluate(by_hand, cancer, **options).metrics["f1_score"] == expected
    named = evaluate(as_table, cancer, predictions="said", **options)
    assert named.metrics["f1_score"] == expected
    without = evaluate(data=said, predictions="said", **options)
    assert without.metrics["f1_score"] == expected
    assert without.missing["roc_auc"] == "there are no probabilities"
    array = evaluate(data=cancer, predictions=said["said"].to_numpy(), **options)
    assert array.metrics["f1_score"] == expected


def test_probabilities_come_from_the_caller_too(cancer: pd.DataFrame, classifier: Any) -> None:
    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "classifier",
        "evaluator_config": NO_FIGURES,
    }
    features = cancer.drop(columns="target")
    both = classifier.predict_proba(features)
    expected = evaluate(classifier, cancer, **options).metrics
    labels = classifier.predict(features)
    forms = [both, both[:, 1]]
    for form in forms:
        result = evaluate(
            data=features,
            predictions=labels,
            probabilities=form,
            **options | {"targets": cancer["target"]},
        )
        assert result.metrics["log_loss"] == pytest.approx(expected["log_loss"])
    named = cancer.assign(said=labels, p=both[:, 1])
    result = evaluate(data=named, predictions="said", probabilities="p", **options)
    assert result.metrics["roc_auc"] == pytest.approx(expected["roc_auc"])
    alone = evaluate(classifier.predict_proba, cancer, **options)  # a column for each class
    assert alone.metrics["roc_auc"] == pytest.approx(expected["roc_auc"])
    assert alone.metrics["accuracy_score"] == expected["accuracy_score"]


def test_columns_of_probabilities_are_put_in_order() -> None:
    said = np.array([[0.9, 0.1], [0.2, 0.8]])
    result = evaluate(
        lambda rows: said,
        np.zeros((2, 1)),
        targets=["yes", "no"],
        model_type="classifier",
        evaluator_config={"label_list": ["yes", "no"], "pos_label": "yes"},
    )
    assert result.metrics["accuracy_score"] == 1.0
    assert result.metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.8]).mean())


def test_a_class_that_the_test_set_lacks() -> None:
    table = load_iris(as_frame=True).frame
    model = RandomForestClassifier(5, random_state=0)
    model.fit(table.drop(columns="target"), table["target"])
    result = evaluate(model, table[table["target"] < 2], targets="target", model_type="classifier")
    assert list(result.tables["per_class_metrics"]["positive_class"]) == [0, 1, 2]
    assert result.metrics["roc_auc"] == 1.0


def test_data_of_one_class_is_judged_as_far_as_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    table = load_iris(as_frame=True).frame
    model = LogisticRegression(max_iter=500)
    model.fit(table.drop(columns="target"), table["target"])
    result = evaluate(model, table[:50], targets="target", model_type="classifier")
    assert result.metrics["accuracy_score"] == 1.0
    assert "roc_auc" in result.missing
    assert "no roc_auc: all targets are 0" in caplog.text
    assert "not computed: all targets are 0" in repr(result)


def test_the_model_predicts_once(cancer: pd.DataFrame) -> None:
    calls: list[int] = []

    def predict(table: pd.DataFrame) -> np.ndarray[Any, Any]:
        calls.append(len(table))
        return (table["mean radius"] < 14).to_numpy().astype(int)

    evaluate(
        predict,
        cancer,
        targets="target",
        model_type="classifier",
        slices=["mean texture"],
        extra_metrics=[hits],
        evaluator_config=NO_FIGURES,
    )
    assert calls == [len(cancer)]


def hits(predictions: pd.Series, targets: pd.Series) -> float:
    return float((predictions == targets).sum())


def test_autologging_notes_nothing_of_an_evaluation(cancer: pd.DataFrame) -> None:
    headrace.sklearn.autolog()
    try:
        with headrace.start_run():
            model = RandomForestClassifier(3, random_state=0)
            model.fit(cancer.drop(columns="target"), cancer["target"])
        trained = headrace.last_active_run()
        assert trained is not None
        evaluate(
            model, cancer, targets="target", model_type="classifier", evaluator_config=NO_FIGURES
        )
        headrace.flush()
        runs = headrace.search_runs(output_format="list")
        assert len(runs) == 2
        assert set(runs[1].data.metrics) == set(trained.data.metrics)
    finally:
        headrace.sklearn.autolog(disable=True)


def test_thresholds_give_a_verdict(cancer: pd.DataFrame, classifier: Any) -> None:
    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "classifier",
        "evaluator_config": NO_FIGURES,
    }
    good = evaluate(classifier, cancer, thresholds={"roc_auc": ">= 0.9"}, **options)
    assert good.passed
    assert good.raise_if_failed() is good
    bad = evaluate(
        classifier,
        cancer,
        slices=["mean radius"],
        thresholds={"roc_auc": ">= 0.9999", "slices/*/accuracy_score": ">= 0.5"},
        **options,
    )
    assert not bad.passed
    assert [check.passed for check in bad.verdict] == [False, True, True, True, True]
    assert "verdict: FAILED, 4 of 5 thresholds met" in repr(bad)
    with pytest.raises(ModelValidationFailed, match=r"roc_auc = 0\.99"):
        bad.raise_if_failed()
    tag = "headrace.evaluation.verdict"
    headrace.flush()
    for result, word in ((good, "passed"), (bad, "failed")):
        assert run_of(result).data.tags[tag] == word
        assert "verdict.json" in files(result)


def test_a_prefix_goes_before_metrics_and_files(cancer: pd.DataFrame, classifier: Any) -> None:
    result = evaluate(
        classifier,
        cancer,
        targets="target",
        model_type="classifier",
        evaluator_config={"default": {"metric_prefix": "test_", **NO_FIGURES}},
        thresholds={"test_f1_score": "> 0.5"},
    )
    assert result.passed
    assert all(name.startswith("test_") for name in logged(result))
    assert all(name.startswith("test_") for name in files(result))
    (noted,) = run_of(result).inputs.dataset_inputs
    assert noted.tags[0].value == "test_"


def test_no_type_computes_own_metrics_alone() -> None:
    result = evaluate(lambda rows: rows[:, 0] * 2, np.arange(4.0)[:, None], extra_metrics=[total])
    assert result.metrics == {"total": 12.0}


def total(predictions: pd.Series) -> float:
    return float(predictions.sum())


def test_permuted_features_count_where_they_matter() -> None:
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.random((300, 3)), columns=["none", "much", "some"])
    for table in (x, pl.DataFrame(x.to_dict("list")), x.to_numpy()):
        result = evaluate(
            lambda rows: np.asarray(rows)[:, 1] * 5 + np.asarray(rows)[:, 2],
            table,
            targets=(x["much"] * 5 + x["some"]).to_numpy(),
            feature_names=["none", "much", "some"],
            model_type="regressor",
            evaluator_config={"permutation_importance": True, **NO_FIGURES},
        )
        found = result.tables["permutation_importance"]
        assert list(found["feature"]) == ["much", "some", "none"]
        assert found["loss of mean_absolute_error"].iloc[2] == 0


def test_pictures_are_not_needed(
    cancer: pd.DataFrame,
    classifier: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from headrace.evaluation import report

    monkeypatch.setattr(report, "find_spec", lambda name: None)
    monkeypatch.setattr(report, "_said", set())
    options: dict[str, Any] = {"targets": "target", "model_type": "classifier"}
    evaluate(classifier, cancer, **options)
    result = evaluate(classifier, cancer, **options)
    assert "roc_curve_data.csv" in files(result)
    assert not any(name.endswith(".png") for name in files(result))
    assert caplog.text.count("Matplotlib is not installed") == 1


def test_a_model_by_its_uri(cancer: pd.DataFrame, classifier: Any) -> None:
    options: dict[str, Any] = {
        "targets": "target",
        "model_type": "classifier",
        "evaluator_config": NO_FIGURES,
    }
    features = cancer.drop(columns="target")
    info = headrace.sklearn.log_model(classifier, name="cancer", input_example=features[:2])
    headrace.flush()
    result = evaluate(info.model_uri, cancer, **options)
    assert result.metrics == evaluate(classifier, cancer, **options).metrics
    headrace.flush()
    measured = headrace.get_logged_model(info.model_id).metrics
    assert "roc_auc" in {metric.key for metric in measured}


def test_weights_in_a_column_are_no_feature(cancer: pd.DataFrame, classifier: Any) -> None:
    weights = np.random.default_rng(0).random(len(cancer))
    options: dict[str, Any] = {"targets": "target", "model_type": "classifier"}
    given = evaluate(
        classifier, cancer, evaluator_config={"sample_weights": weights, **NO_FIGURES}, **options
    )
    named = evaluate(
        classifier,
        cancer.assign(w=weights),
        evaluator_config={"sample_weights": "w", **NO_FIGURES},
        **options,
    )
    plain = evaluate(classifier, cancer, evaluator_config=NO_FIGURES, **options)
    assert named.metrics == given.metrics
    assert named.metrics["log_loss"] != plain.metrics["log_loss"]
