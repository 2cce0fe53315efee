"""Autologging of the real LightGBM."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.datasets import load_iris

import headrace
from headrace import lightgbm as autologging
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]
PARAMS = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1}


@pytest.fixture
def lgb() -> Any:
    import lightgbm

    return lightgbm


@pytest.fixture
def iris(lgb: Any) -> tuple[Any, Any]:
    features, labels = load_iris(return_X_y=True, as_frame=True)
    train = lgb.Dataset(features[::2], labels[::2])
    return train, lgb.Dataset(features[1::2], labels[1::2], reference=train)


def test_rounds_are_logged_as_the_library_reports_them(
    lgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    train, test = iris
    reported: dict[str, Any] = {}
    callbacks = [lgb.record_evaluation(reported)]
    lgb.train(
        {**PARAMS, "metric": ["multi_logloss", "multi_error"]},
        train,
        num_boost_round=4,
        valid_sets=[train, test],
        valid_names=["train", "test"],
        callbacks=callbacks,
    )
    assert len(callbacks) == 1
    run = only_run()
    assert run.status == "FINISHED"
    assert run.tags["mlflow.autologging"] == "lightgbm"
    assert run.params["num_boost_round"] == "4"
    for name in ("train", "test"):
        for metric in ("multi_logloss", "multi_error"):
            assert run.values(f"{name}-{metric}") == reported[name][metric]
            assert run.steps(f"{name}-{metric}") == [0, 1, 2, 3]
    assert run.inputs == [("dataset", "train"), ("test", "eval"), ("train", "eval")]


def test_importance_is_what_the_booster_says(
    lgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    booster = lgb.train(PARAMS, iris[0], num_boost_round=3)
    run = only_run()
    for kind in ("split", "gain"):
        path = f"runs:/{run.run_id}/feature_importance_{kind}.json"
        stored = json.loads(headrace.artifacts.load_text(path))
        assert list(stored) == booster.feature_name()
        assert list(stored.values()) == booster.feature_importance(kind).tolist()
        assert f"feature_importance_{kind}.png" in run.artifacts


def test_early_stopping_names_best_and_last_round_and_ends_with_the_best(
    lgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    booster = lgb.train(
        {**PARAMS, "learning_rate": 1.0},
        iris[0],
        num_boost_round=100,
        valid_sets=[iris[1]],
        callbacks=[lgb.early_stopping(2, verbose=False)],
    )
    run = only_run()
    values = run.values("valid_0-multi_logloss")
    rounds = len(values) - 1
    assert rounds == booster.best_iteration + 2 < 100
    assert run.metrics["stopped_iteration"] == [(0, float(rounds))]
    assert run.metrics["best_iteration"] == [(0, float(booster.best_iteration))]
    assert values[-1] == values[booster.best_iteration - 1] == min(values)


def test_an_estimator_logs_one_run_with_its_parameters(
    lgb: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    features, labels = load_iris(return_X_y=True, as_frame=True)
    model = lgb.LGBMClassifier(n_estimators=3, max_depth=2, n_jobs=1, verbosity=-1)
    model.fit(features, labels, eval_set=[(features, labels)])
    run = only_run()
    assert run.params["max_depth"] == "2"
    assert run.values("training-multi_logloss") == model.evals_result_["training"]["multi_logloss"]
    assert ("dataset", "train") in run.inputs


def test_what_the_library_refuses_is_raised_and_the_run_has_failed(
    lgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    with pytest.raises(lgb.basic.LightGBMError, match="nonsense"):
        lgb.train({"objective": "nonsense", "verbosity": -1}, iris[0])
    assert only_run().status == "FAILED"


def test_a_search_of_scikit_learn_logs_each_fit_that_it_makes_here(
    lgb: Any, runs: Callable[[], list[Logged]]
) -> None:
    from sklearn.model_selection import GridSearchCV

    autologging.autolog(log_datasets=False)
    features, labels = load_iris(return_X_y=True)
    model = lgb.LGBMClassifier(n_estimators=1, n_jobs=1, verbosity=-1)
    GridSearchCV(model, {"max_depth": [2, 3]}, cv=2, refit=False).fit(features, labels)
    assert sorted(run.params["max_depth"] for run in runs()) == ["2", "2", "3", "3"]
