"""Searches for parameters, and metrics that are computed after a fit."""

from __future__ import annotations

import csv
import gc
import io
import json
import threading
from typing import Any

import numpy as np
import pytest
from sklearn import (
    datasets,
    ensemble,
    linear_model,
    metrics,
    model_selection,
    pipeline,
    preprocessing,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - imported for its effect

import headrace
from headrace.client.autolog import sklearn as observed
from headrace.client.autolog import sklearn_evaluation
from headrace.client.autolog.sklearn import autolog
from headrace.client.entities import Run
from tests.client.autolog.conftest import artifacts, only_run, runs

X, Y = datasets.make_classification(120, 6, random_state=0)


@pytest.fixture(autouse=True)
def switched_on(database: str, failures_raise: None) -> None:
    """Nearly every test begins so."""
    autolog()


def file_of(run: Run, name: str) -> str:
    with open(headrace.Client().download_artifacts(run.info.run_id, name)) as file:
        return file.read()


def family() -> tuple[Run, list[Run]]:
    """The run of a search, and its children, the best first."""
    found = runs()
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in found if run is not parent]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} <= {parent.info.run_id}
    return parent, sorted(children, key=lambda run: run.data.metrics["rank_test_score"])


def test_a_search_has_child_runs_for_its_best_candidates() -> None:
    search = model_selection.GridSearchCV(
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
        {"logisticregression__C": [0.001, 0.01, 0.1, 1, 10, 100, 1000]},
        cv=3,
    ).fit(X, Y)
    parent, children = family()
    best = search.best_params_["logisticregression__C"]
    assert parent.data.params["best_logisticregression__C"] == str(best)
    assert parent.data.params["cv"] == "3"
    assert "estimator__memory" not in parent.data.params
    assert parent.data.metrics["best_cv_score"] == search.best_score_
    assert parent.data.metrics["training_score"] == search.score(X, Y)
    assert len(children) == 5
    (first,) = (
        child for child in children if child.data.params["logisticregression__C"] == str(best)
    )
    assert first.data.metrics["rank_test_score"] == 1
    assert first.info.status == "FINISHED"
    assert first.info.end_time is not None
    assert first.data.params["standardscaler__with_mean"] == "True"
    assert first.data.metrics["mean_test_score"] == search.best_score_
    assert first.data.tags["estimator_name"] == "Pipeline"
    assert first.data.tags["mlflow.autologging"] == "sklearn"
    assert not [name for name in first.data.metrics if name.startswith(("split", "param"))]


def test_the_results_are_a_table() -> None:
    search = model_selection.GridSearchCV(
        linear_model.LogisticRegression(),
        [{"C": [1, 10]}, {"class_weight": ["balanced"]}],
        cv=2,
    ).fit(X, Y)
    table = list(csv.DictReader(io.StringIO(file_of(family()[0], "cv_results.csv"))))
    assert table[0].keys() == search.cv_results_.keys()
    assert [row["param_C"] for row in table] == ["1", "10", ""]
    assert [row["param_class_weight"] for row in table] == ["", "", "balanced"]
    scores = [float(row["mean_test_score"]) for row in table]
    assert scores == search.cv_results_["mean_test_score"].tolist()


@pytest.mark.parametrize(("most", "count"), [(0, 0), (2, 2), (None, 7)])
def test_how_many_candidates_is_the_users_choice(most: int | None, count: int) -> None:
    autolog(max_tuning_runs=most, extra_tags={"team": "blue"})
    grid = {"C": [0.001, 0.01, 0.1, 1, 10, 100, 1000]}
    model_selection.GridSearchCV(linear_model.LogisticRegression(), grid, cv=2).fit(X, Y)
    parent, children = family()
    assert len(children) == count
    assert {run.data.tags["team"] for run in [parent, *children]} == {"blue"}


def test_other_searches_several_metrics_and_no_refit() -> None:
    forest = ensemble.RandomForestClassifier(3, random_state=0)
    model_selection.HalvingGridSearchCV(forest, {"max_depth": [1, 2, 3]}, cv=2, random_state=0).fit(
        X, Y
    )
    model_selection.RandomizedSearchCV(
        linear_model.LogisticRegression(),
        {"C": [1, 2, 3]},
        n_iter=2,
        scoring=["accuracy", "f1"],
        refit=False,
        cv=2,
    ).fit(X, Y)
    halving, random = (run for run in runs() if "mlflow.parentRunId" not in run.data.tags)
    assert halving.data.tags["estimator_name"] == "HalvingGridSearchCV"
    assert not random.data.metrics
    assert "cv_results.csv" in artifacts(random)
    children = [
        run for run in runs() if run.data.tags.get("mlflow.parentRunId") == random.info.run_id
    ]
    assert len(children) == 2
    assert {"mean_test_accuracy", "mean_test_f1"} < children[0].data.metrics.keys()


def test_a_search_in_a_run_of_the_users() -> None:
    with headrace.start_run() as run:
        model_selection.GridSearchCV(linear_model.RidgeClassifier(), {"alpha": [1, 2]}).fit(X, Y)
        assert headrace.active_run() is run
    parent, children = family()
    assert parent.info.run_id == run.info.run_id
    assert len(children) == 2


def test_metrics_after_a_fit_carry_the_name_of_the_data() -> None:
    model = linear_model.LogisticRegression().fit(X[:80], Y[:80])
    held_out, labels = X[80:], Y[80:]
    predicted = model.predict(held_out)
    accuracy = metrics.accuracy_score(labels, predicted)
    metrics.accuracy_score(labels, y_pred=predicted, normalize=False)
    other = model.predict(X)
    metrics.f1_score(Y, other)
    metrics.confusion_matrix(labels, predicted)
    metrics.accuracy_score(labels, labels)
    score = model.score(held_out, labels)
    scorer = metrics.get_scorer("balanced_accuracy")(model, held_out, labels)
    run = only_run()
    found = {name: run.data.metrics[name] for name in run.data.metrics if "training" not in name}
    assert found == {
        "accuracy_score_held_out": accuracy,
        "accuracy_score-2_held_out": accuracy * 40,
        "f1_score_X": metrics.f1_score(Y, np.array(other)),
        "LogisticRegression_score_held_out": score,
        "balanced_accuracy_score_held_out": scorer,
    }
    commands = json.loads(file_of(run, "metric_info.json"))
    assert commands.keys() == found.keys()
    assert commands["accuracy_score-2_held_out"] == (
        "accuracy_score(y_true=labels, y_pred=predicted, normalize=False)"
    )
    contexts = [
        {tag.key: tag.value for tag in noted.tags}["mlflow.data.context"]
        for noted in run.inputs.dataset_inputs
    ]
    assert sorted(contexts) == ["eval", "eval", "train"]


def test_data_of_the_same_name_is_told_apart() -> None:
    model = linear_model.LogisticRegression().fit(X, Y)

    def evaluate(part: Any, labels: Any) -> None:
        metrics.accuracy_score(labels, model.predict(part))

    for start in (0, 60):
        data = X[start : start + 60]
        evaluate(data, Y[start : start + 60])
    found = only_run().data.metrics
    assert {"accuracy_score_data", "accuracy_score-2_data-2"} <= found.keys()


def test_metrics_of_what_was_not_fitted_here_are_not_logged() -> None:
    model = linear_model.LogisticRegression().fit(X, Y)
    autolog(log_post_training_metrics=False)
    metrics.accuracy_score(Y, model.predict(X))
    model.score(X, Y)
    autolog(disable=True)
    silent = linear_model.LogisticRegression().fit(X, Y)
    autolog()
    metrics.accuracy_score(Y, silent.predict(X))
    assert not [name for name in only_run().data.metrics if "training" not in name]


def test_metrics_go_to_the_run_of_the_fit_though_another_is_active() -> None:
    model = linear_model.LogisticRegression().fit(X, Y)
    with headrace.start_run() as other:
        model.score(X, Y)
    fitted = next(run for run in runs() if run.info.run_id != other.info.run_id)
    assert "LogisticRegression_score_X" in fitted.data.metrics
    assert not headrace.get_run(other.info.run_id).data.metrics


def test_models_and_data_are_let_go() -> None:
    def work() -> None:
        model = linear_model.LogisticRegression().fit(X, Y)
        metrics.accuracy_score(Y, model.predict(X))

    known = observed._evaluations, observed._predictions
    gc.collect()
    before = [len(each) for each in known]
    work()
    gc.collect()
    assert [len(each) for each in known] == before


def test_a_loop_of_metrics_ends_in_a_bounded_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn_evaluation, "MAX_CALLS", 3)
    model = linear_model.LogisticRegression().fit(X, Y)
    predicted = model.predict(X)
    for _ in range(10):
        metrics.accuracy_score(Y, predicted)
    run = only_run()
    assert len(json.loads(file_of(run, "metric_info.json"))) == 3
    assert len([name for name in run.data.metrics if name.startswith("accuracy")]) == 3


def test_fits_and_metrics_in_threads_stay_apart() -> None:
    together = threading.Barrier(3)

    def work(number: int) -> None:
        together.wait(30)
        model = linear_model.LogisticRegression(C=number + 1).fit(X, Y)
        metrics.accuracy_score(Y, model.predict(X))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = runs()
    assert sorted(run.data.params["C"] for run in found) == ["1", "2", "3"]
    for run in found:
        assert "accuracy_score_X" in run.data.metrics
        assert "accuracy_score-2_X" not in run.data.metrics
