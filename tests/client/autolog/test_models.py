"""Autologging logs what was trained, in a form that loads, linked to its run and metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import headrace
from headrace.client.autolog import models
from headrace.client.model_loading import load_pyfunc

X, y = load_iris(return_X_y=True, as_frame=True)


def logged(name: str = "model") -> headrace.entities.LoggedModel:
    found = headrace.search_logged_models(
        filter_string=f"name = '{name}'", output_format="list", max_results=2
    )
    assert len(found) == 1
    return found[0]


def test_a_fit_logs_its_model(database: str) -> None:
    headrace.sklearn.autolog(log_input_examples=True, registered_model_name="iris")
    model = LogisticRegression(max_iter=500).fit(X, y)
    run = headrace.last_active_run()
    assert run is not None
    found = logged()
    assert found.status == "READY"
    assert found.source_run_id == run.info.run_id
    assert found.params["max_iter"] == "500"
    metrics = {metric.key: metric.value for metric in found.metrics}
    assert metrics["training_accuracy_score"] == run.data.metrics["training_accuracy_score"]
    loaded = load_pyfunc(found.model_uri)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert list(loaded.input_example.columns) == list(X.columns)
    assert headrace.MlflowClient().get_model_version("iris", "1").model_id == found.model_id


def test_a_signature_without_an_example(database: str) -> None:
    headrace.sklearn.autolog()
    LogisticRegression(max_iter=500).fit(X, y)
    loaded = load_pyfunc(logged().model_uri)
    assert loaded.signature is not None
    assert loaded.signature.inputs is not None
    assert loaded.signature.inputs.input_names() == list(X.columns)
    assert loaded.input_example is None


def test_neither_where_neither_is_wanted(database: str) -> None:
    headrace.sklearn.autolog(log_model_signatures=False)
    LogisticRegression(max_iter=500).fit(X, y)
    assert load_pyfunc(logged().model_uri).signature is None


def test_no_model_where_none_is_wanted(database: str) -> None:
    headrace.sklearn.autolog(log_models=False)
    LogisticRegression(max_iter=500).fit(X, y)
    assert headrace.search_logged_models(output_format="list") == []


def test_a_search_logs_itself_and_its_best(database: str) -> None:
    headrace.sklearn.autolog()
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
    best = headrace.sklearn.load_model(logged("best_estimator").model_uri)
    assert best.C == search.best_estimator_.C
    whole = headrace.sklearn.load_model(logged("model").model_uri)
    assert np.array_equal(whole.predict(X), search.predict(X))


def test_metrics_after_the_fit_are_about_the_model(database: str) -> None:
    from sklearn import metrics

    headrace.sklearn.autolog()
    model = LogisticRegression(max_iter=500).fit(X, y)
    LogisticRegression(max_iter=500).fit(X[::2], y[::2])
    metrics.accuracy_score(y, model.predict(X))
    model.score(X, y)
    run = headrace.last_active_run()
    assert run is not None
    both = headrace.search_logged_models(output_format="list")
    linked = {found.source_run_id: {metric.key for metric in found.metrics} for found in both}
    assert "accuracy_score_X" not in linked.pop(run.info.run_id)
    (keys,) = linked.values()
    assert {"accuracy_score_X", "LogisticRegression_score_X"} <= keys


def test_what_cannot_predict_has_the_signature_of_its_transform(database: str) -> None:
    headrace.sklearn.autolog()
    fitted = PCA(2).fit(X)
    found = logged()
    assert headrace.sklearn.load_model(found.model_uri).transform(X).shape == (150, 2)
    described = headrace.models.get_model_info(found.model_uri)
    assert described.signature is not None
    assert described.signature.inputs.input_names() == list(X.columns)
    assert "-1, 2" in str(described.signature.outputs)
    assert fitted.n_components == 2


def test_an_example_that_no_signature_describes_costs_only_itself(
    database: str, failures_warn: None, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(LogisticRegression):  # type: ignore[misc]  # has no types
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - scikit-learn's name
            return super().fit(np.array([each.of for each in X]), y)

    class Row:
        def __init__(self, of: Any) -> None:
            self.of = of

    headrace.sklearn.autolog(log_input_examples=True, log_datasets=False)
    Strange(max_iter=500).fit([Row(each) for each in X.to_numpy()], y)
    assert "did not log what the model takes" in caplog.text
    assert logged().status == "READY"


def test_rows_that_are_kept_are_copies_of_few() -> None:
    table = np.arange(2_000.0).reshape(1_000, 2)
    kept = models.copied_rows(table)
    table[:] = 0
    assert kept.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert kept.base is None or kept.base.size == kept.size
    assert models.copied_rows([table, table]) is None
    assert models.copied_rows("file.csv") is None
    assert models.copied_rows([[1, 2]] * 9) == [[1, 2]] * 5


def test_a_model_that_cannot_be_saved_is_a_warning(
    database: str, failures_warn: None, caplog: pytest.LogCaptureFixture
) -> None:
    headrace.sklearn.autolog(serialization_format="none such")
    with caplog.at_level(logging.WARNING, "headrace"):
        model = LogisticRegression(max_iter=500).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert "did not log the model" in caplog.text
    assert "none such" in caplog.text


def test_a_server_that_is_away_is_not_waited_for(
    tmp_path: Path,
    failures_warn: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HEADRACE_OFFLINE", "true")
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/away.db")
    headrace.sklearn.autolog()
    with caplog.at_level(logging.WARNING, "headrace"):
        LogisticRegression(max_iter=500).fit(X, y)
    assert "a model cannot wait for it" in caplog.text
