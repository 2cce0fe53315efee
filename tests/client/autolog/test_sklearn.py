"""What a fit of scikit-learn logs, and that nothing it meets breaks the fit."""

from __future__ import annotations

import importlib
import inspect
import logging
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    cluster,
    datasets,
    decomposition,
    ensemble,
    impute,
    linear_model,
    metrics,
    model_selection,
    multioutput,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import headrace
from headrace.client.autolog import sklearn_training
from headrace.client.autolog.sklearn import autolog
from tests.client.autolog.conftest import artifacts, imported, only_run, runs

sparse = imported("scipy.sparse")
X, Y = datasets.make_classification(120, 6, random_state=0)
PLOTS = {
    "training_confusion_matrix.png",
    "training_roc_curve.png",
    "training_precision_recall_curve.png",
}


@pytest.fixture(autouse=True)
def switched_on(database: str, failures_raise: None) -> None:
    """Nearly every test begins so."""
    autolog()


def test_a_classifier_logs_parameters_metrics_and_pictures() -> None:
    model = linear_model.LogisticRegression(C=0.5)
    assert model.fit(X, Y) is model
    run = only_run()
    assert artifacts(run) == {*PLOTS, "estimator.html"}
    assert run.data.params["C"] == "0.5"
    assert run.data.params.keys() == model.get_params().keys()
    predicted, likely = model.predict(X), model.predict_proba(X)
    assert run.data.metrics == {
        "training_score": model.score(X, Y),
        "training_accuracy_score": metrics.accuracy_score(Y, predicted),
        "training_precision_score": metrics.precision_score(Y, predicted, average="weighted"),
        "training_recall_score": metrics.recall_score(Y, predicted, average="weighted"),
        "training_f1_score": metrics.f1_score(Y, predicted, average="weighted"),
        "training_log_loss": metrics.log_loss(Y, likely),
        "training_roc_auc": metrics.roc_auc_score(Y, likely[:, 1]),
    }
    assert run.data.tags["estimator_name"] == "LogisticRegression"


def test_the_pictures_are_pictures_and_leave_pyplot_alone() -> None:
    from matplotlib import pyplot as plt
    from PIL import Image

    linear_model.LogisticRegression().fit(X, np.array(["no", "ja, öfter"])[Y])
    assert not plt.get_fignums()
    client, run = headrace.Client(), only_run()
    for name in PLOTS:
        with Image.open(client.download_artifacts(run.info.run_id, name)) as image:
            assert image.size[0] > 500
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 20


def test_the_positive_class_can_be_named() -> None:
    autolog(pos_label=1)
    model = linear_model.LogisticRegression().fit(X, Y)
    found = only_run().data.metrics["training_recall_score"]
    assert found == metrics.recall_score(Y, model.predict(X), pos_label=1)


def test_a_regressor_logs_errors() -> None:
    target = X @ np.arange(6)
    model = linear_model.Ridge().fit(X, target)
    run = only_run()
    assert artifacts(run) == {"estimator.html"}
    error = metrics.mean_squared_error(target, model.predict(X))
    assert run.data.metrics["training_mean_squared_error"] == error
    assert run.data.metrics["training_root_mean_squared_error"] == error**0.5
    assert run.data.metrics["training_score"] == model.score(X, target)
    assert {"training_mean_absolute_error", "training_r2_score"} < run.data.metrics.keys()


def test_a_pipeline_is_one_run_with_the_parameters_of_its_steps() -> None:
    steps = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.RidgeClassifier(2))
    steps.fit(X, Y)
    run = only_run()
    assert run.data.params["ridgeclassifier__alpha"] == "2"
    assert run.data.params["standardscaler__with_mean"] == "True"
    assert "RidgeClassifier" in run.data.params["steps"]


@pytest.mark.parametrize(
    "preparation",
    [preprocessing.StandardScaler(), impute.SimpleImputer(), preprocessing.PolynomialFeatures()],
)
def test_preparing_data_is_no_training(preparation: Any) -> None:
    preparation.fit_transform(X)
    preparation.fit(X)
    assert not runs()


def test_what_scikit_learn_fits_itself_is_not_logged() -> None:
    model = linear_model.LogisticRegression()
    model_selection.cross_val_score(model, X, Y)
    model_selection.cross_validate(model, X, Y, n_jobs=2)
    model_selection.learning_curve(model, X, Y, cv=2)
    assert not runs()


@pytest.mark.parametrize(
    ("model", "fit"),
    [
        (cluster.KMeans(2, n_init=1), "fit"),
        (cluster.KMeans(2, n_init=1), "fit_predict"),
        (decomposition.PCA(2), "fit"),
        (decomposition.PCA(2), "fit_transform"),
        (neighbors.LocalOutlierFactor(), "fit_predict"),
        (pipeline.make_pipeline(preprocessing.StandardScaler(), cluster.KMeans(2)), "fit_predict"),
    ],
)
def test_learning_without_targets_is_logged(model: Any, fit: str) -> None:
    getattr(model, fit)(X)
    run = only_run()
    assert run.data.tags["estimator_name"] == type(model).__name__
    assert not run.data.metrics
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (pd.DataFrame(X, columns=list("abcdef")), pd.Series(Y)),
        (sparse.csr_matrix(X), Y),
        (X.tolist(), Y.tolist()),
        (X, np.array(["no", "yes"])[Y]),
        (X, np.array(["nein", "是"])[Y]),
        (X, np.arange(120) % 7),
        (X, np.c_[Y, Y[::-1]]),
    ],
    ids=["pandas", "sparse", "lists", "texts", "chinese", "multiclass", "multilabel"],
)
def test_features_and_targets_may_be_of_any_kind(features: Any, targets: Any) -> None:
    model = ensemble.RandomForestClassifier(5, random_state=0)
    names = ["training_roc_auc", "training_log_loss"] if np.ndim(targets) == 2 else []
    with pytest.MonkeyPatch.context() as patch:
        if names:  # of several targets at once there is no such metric: a warning
            patch.delenv("HEADRACE_AUTOLOGGING_TESTING")
        model.fit(features, targets)
    run = only_run()
    assert run.data.metrics["training_score"] == model.score(features, targets)
    assert {"training_roc_auc", *names} - {*names} <= run.data.metrics.keys()
    assert len(run.inputs.dataset_inputs) == 1


def test_weights_count() -> None:
    weights = np.linspace(0.1, 3, len(Y))
    model = svm.SVC().fit(X, Y, weights)
    found = only_run().data.metrics
    assert found["training_score"] == model.score(X, Y, weights)
    assert found["training_accuracy_score"] == found["training_score"]


def test_several_targets_and_meta_estimators() -> None:
    target = np.c_[X[:, 0], X[:, 1] * 3]
    multioutput.RegressorChain(linear_model.Ridge()).fit(X, Y=target)
    run = only_run()
    assert run.data.params["estimator__alpha"] == "1.0"
    assert run.data.metrics["training_r2_score"] > 0.9


def test_data_that_the_fit_writes_over_is_measured_as_it_was() -> None:
    target = X @ np.arange(6) + 5
    given = np.asfortranarray(X + 3)
    model = linear_model.LinearRegression(copy_X=False).fit(given, target)
    assert only_run().data.metrics["training_score"] == pytest.approx(model.score(X + 3, target))


def test_large_data_is_measured_on_some_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn_training, "MAX_ROWS", 50)
    for features in (X, pd.DataFrame(X), sparse.csr_matrix(X), X.tolist()):
        linear_model.LogisticRegression().fit(features, list(Y))
    for run in runs():
        assert run.data.tags["headrace.autolog.training_rows"] == "50"
        assert run.data.metrics["training_score"] > 0.5


def test_a_data_set_is_noted_and_can_be_left_out() -> None:
    linear_model.Ridge().fit(X, Y)
    autolog(log_datasets=False)
    linear_model.Ridge().fit(X, Y)
    first, second = runs()
    (noted,) = first.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in noted.tags} == {"mlflow.data.context": "train"}
    assert not second.inputs.dataset_inputs


class Mine(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # has no types
    """An estimator of the user's own, as documented by scikit-learn."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, x: Any, y: Any) -> Mine:
        """Fit."""
        if self.shift is None:
            raise ValueError("no shift")
        linear_model.LinearRegression().fit(x, y)
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: Any) -> Any:
        """Predict."""
        if not hasattr(self, "classes_"):
            raise NotFittedError
        return self.classes_[(np.asarray(x)[:, 0] > self.shift).astype(int)]


def test_an_estimator_of_ones_own_logs_itself_and_not_what_it_calls() -> None:
    model = Mine(0.5)
    assert clone(model).shift == 0.5
    model.fit(X, Y)
    run = only_run()
    assert run.data.params == {"shift": "0.5"}
    assert run.data.tags["estimator_class"] == f"{__name__}.Mine"
    assert PLOTS - artifacts(run) == {
        "training_roc_curve.png",
        "training_precision_recall_curve.png",
    }
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - pickled in this line
    assert (again.predict(X) == model.predict(X)).all()


def test_a_class_made_after_switching_on_is_observed_and_taken_back() -> None:
    class Later(TransformerMixin, Mine):  # type: ignore[misc]  # has no types
        def transform(self, x: Any) -> Any:
            return x

        def fit_transform(self, x: Any, y: Any = None) -> Any:
            return self.fit(x, y).transform(x)

    assert inspect.isfunction(Later.fit_transform)
    Later().fit_transform(X, Y)
    assert only_run().data.tags["estimator_name"] == "Later"
    autolog(disable=True)
    Later().fit_transform(X, Y)
    only_run()
    for name in ("transform", "fit_transform"):
        function = vars(Later)[name]
        while hasattr(function, "__wrapped__"):
            assert "replacement.py" not in function.__code__.co_filename
            function = function.__wrapped__


def test_metadata_routing_sees_the_methods_as_before() -> None:
    class Routed(Mine):
        def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Routed:
            super().fit(x, y)
            return self

    assert callable(Routed().set_fit_request)
    assert "sample_weight" in str(inspect.signature(Routed.fit))


def test_a_transformer_of_ones_own_is_no_training() -> None:
    class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # has no types
        def fit(self, x: Any, y: Any = None) -> Doubling:
            return self

        def transform(self, x: Any) -> Any:
            return np.asarray(x) * 2

    assert (Doubling().fit_transform(X) == X * 2).all()
    assert not runs()


def test_a_fit_that_fails_fails_as_before() -> None:
    with pytest.raises(ValueError, match="no shift"):
        Mine(None).fit(X, Y)  # type: ignore[arg-type]  # the mistake that is tested
    assert only_run().info.status == "FAILED"
    with pytest.raises(TypeError):
        linear_model.Ridge().fit(nonsense=1)
    only_run()
    with pytest.raises(NotFittedError):
        Mine().predict(X)


def test_warnings_of_a_fit_are_the_users() -> None:
    with pytest.warns(ConvergenceWarning):
        linear_model.LogisticRegression(max_iter=1).fit(X, Y)
    only_run()


def test_an_estimator_that_answers_nothing_is_no_obstacle(
    failures_warn: None, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(Mine):
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            raise RuntimeError("no parameters here")

        def predict(self, x: Any) -> Any:
            raise RuntimeError("no predictions here")

    with caplog.at_level(logging.WARNING, "headrace"):
        assert Odd().fit(X, Y).shift == 0
    run = only_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["estimator_name"] == "Odd"
    assert "no parameters here" in caplog.text
    assert "no predictions here" in caplog.text


def test_two_fits_in_one_run_keep_the_first_parameters(failures_warn: None) -> None:
    with headrace.start_run():
        linear_model.Ridge(alpha=1).fit(X, Y)
        linear_model.Ridge(alpha=2).fit(X, Y)
    run = only_run()
    assert run.data.params["alpha"] == "1"
    history = headrace.Client().get_metric_history(run.info.run_id, "training_score")
    assert len(history) == 2


def test_without_matplotlib_all_but_the_pictures_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plots = importlib.import_module("headrace.client.autolog.sklearn_plots")
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    linear_model.LogisticRegression().fit(X, Y)
    run = only_run()
    assert artifacts(run) == {"estimator.html"}
    assert "training_roc_auc" in run.data.metrics
