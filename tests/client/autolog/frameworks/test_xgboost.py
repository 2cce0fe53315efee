"""Autologging of the real XGBoost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.datasets import load_iris

import headrace
from headrace import xgboost as autologging
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]
PARAMS = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}


@pytest.fixture
def xgb() -> Any:
    import xgboost

    return xgboost


@pytest.fixture
def iris(xgb: Any) -> tuple[Any, Any]:
    features, labels = load_iris(return_X_y=True, as_frame=True)
    return (
        xgb.DMatrix(features[::2], labels[::2]),
        xgb.DMatrix(features[1::2], labels[1::2]),
    )


def test_rounds_are_logged_as_the_library_reports_them(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    train, test = iris
    reported: dict[str, Any] = {}
    xgb.train(
        {**PARAMS, "eval_metric": ["mlogloss", "merror"]},
        train,
        num_boost_round=5,
        evals=[(train, "train"), (test, "eval")],
        evals_result=reported,
        verbose_eval=False,
    )
    run = only_run()
    assert run.status == "FINISHED"
    assert run.tags["mlflow.autologging"] == "xgboost"
    assert run.params["num_boost_round"] == "5"
    assert run.params["eval_metric"] == "['mlogloss', 'merror']"
    for name in ("train", "eval"):
        for metric in ("mlogloss", "merror"):
            assert run.values(f"{name}-{metric}") == reported[name][metric]
            assert run.steps(f"{name}-{metric}") == [0, 1, 2, 3, 4]
    assert run.artifacts == {"feature_importance_weight.json", "feature_importance_weight.png"}
    assert run.inputs == [("dataset", "train"), ("eval", "eval"), ("train", "eval")]


def test_importance_is_what_the_booster_says_for_each_kind(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(importance_types=["gain", "cover"])
    booster = xgb.train(PARAMS, iris[0], num_boost_round=3)
    run = only_run()
    for kind in ("gain", "cover"):
        path = f"runs:/{run.run_id}/feature_importance_{kind}.json"
        stored = json.loads(headrace.artifacts.load_text(path))
        assert stored == booster.get_score(importance_type=kind)
    assert "feature_importance_weight.json" not in run.artifacts


def test_early_stopping_names_best_and_last_round_and_ends_with_the_best(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    seen: list[int] = []

    class Own(xgb.callback.TrainingCallback):  # type: ignore[misc]  # no types
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            seen.append(epoch)
            return epoch == 3

    callbacks = [Own(), xgb.callback.EarlyStopping(rounds=100)]
    booster = xgb.train(
        PARAMS, iris[0], 50, evals=[(iris[1], "eval")], callbacks=callbacks, verbose_eval=False
    )
    assert seen == [0, 1, 2, 3]
    assert len(callbacks) == 2
    run = only_run()
    assert run.metrics["stopped_iteration"] == [(0, 3.0)]
    assert run.metrics["best_iteration"] == [(0, float(booster.best_iteration))]
    assert run.steps("eval-mlogloss") == [0, 1, 2, 3, 4]
    assert run.values("eval-mlogloss")[4] == run.values("eval-mlogloss")[booster.best_iteration]


def test_an_estimator_logs_one_run_with_its_parameters(
    xgb: Any, only_run: Callable[[], Logged]
) -> None:
    autologging.autolog(log_datasets=False)
    features, labels = load_iris(return_X_y=True)
    model = xgb.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1)
    model.fit(features, labels, eval_set=[(features, labels)], verbose=False)
    run = only_run()
    assert run.params["max_depth"] == "2"
    assert run.params["num_boost_round"] == "3"
    assert run.values("validation_0-mlogloss") == model.evals_result()["validation_0"]["mlogloss"]
    assert run.inputs == []


def test_a_linear_booster_has_weights_for_each_class(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    xgb.train({**PARAMS, "booster": "gblinear"}, iris[0], num_boost_round=2)
    assert "feature_importance_weight.png" in only_run().artifacts


def test_a_kind_of_importance_that_does_not_exist_costs_only_itself(
    xgb: Any,
    iris: tuple[Any, Any],
    only_run: Callable[[], Logged],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HEADRACE_AUTOLOGGING_TESTING", "false")
    autologging.autolog(importance_types=["nonsense", "gain"])
    booster = xgb.train(PARAMS, iris[0], num_boost_round=2)
    assert booster.num_boosted_rounds() == 2
    run = only_run()
    assert run.status == "FINISHED"
    assert "feature_importance_gain.json" in run.artifacts
    assert "nonsense" in caplog.text


def test_what_the_library_refuses_is_raised_and_the_run_has_failed(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    with pytest.raises(xgb.core.XGBoostError, match="nonsense"):
        xgb.train({"objective": "nonsense"}, iris[0])
    run = only_run()
    assert run.status == "FAILED"
    assert run.params["objective"] == "nonsense"


def test_two_trainings_in_an_active_run_both_log_to_it(
    xgb: Any, iris: tuple[Any, Any], only_run: Callable[[], Logged]
) -> None:
    autologging.autolog()
    with headrace.start_run():
        xgb.train(PARAMS, iris[0], num_boost_round=1, evals=[(iris[1], "first")])
        xgb.train(PARAMS, iris[0], num_boost_round=2, evals=[(iris[1], "second")])
    run = only_run()
    assert (len(run.metrics["first-mlogloss"]), len(run.metrics["second-mlogloss"])) == (1, 2)
    assert "mlflow.autologging" not in run.tags


def test_switched_off_it_logs_nothing(
    xgb: Any, iris: tuple[Any, Any], runs: Callable[[], list[Logged]]
) -> None:
    original = xgb.train
    autologging.autolog()
    assert xgb.train is not original
    autologging.autolog(disable=True)
    assert xgb.train is original
    xgb.train(PARAMS, iris[0], num_boost_round=1)
    assert runs() == []
