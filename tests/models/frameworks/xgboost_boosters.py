"""Small boosters of every kind that XGBoost trains, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

xgboost = pytest.importorskip("xgboost")
RNG = np.random.default_rng(0)
ROWS = RNG.random((120, 4))
FLAGS = (ROWS[:, 0] > 0.5).astype(int)
KINDS = RNG.integers(0, 3, 120)
NAMED = pd.DataFrame(ROWS, columns=list("abcd"))
LETTERS = pd.DataFrame(
    {
        "a": pd.Categorical(RNG.choice(list("abcdefg"), 120)),
        "b": ROWS[:, 0],
        "c": pd.Categorical(RNG.integers(0, 20, 120) * 1000),
    }
)
IN_LETTERS = LETTERS["a"].isin(list("abc")).astype(int) + LETTERS["c"].cat.codes % 2
NOISE = ROWS[:, 0] * ROWS[:, 1] + RNG.random(120)
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "n_jobs": 2}


def trained(table: Any, target: Any, rounds: int = 3, **params: Any) -> Any:
    """A booster of at most three levels, where the params say nothing else."""
    data = xgboost.DMatrix(table, target, enable_categorical=True)
    if str(params.get("objective")).startswith("rank:"):
        data.set_group([60, 60])
    if params.get("objective") == "survival:aft":
        data.set_float_info("label_lower_bound", np.ones(120))
        data.set_float_info("label_upper_bound", np.full(120, 2.0))
    return xgboost.train({"max_depth": 3, "nthread": 2, **params}, data, rounds)


def objective(name: str, **params: Any) -> Callable[[], Any]:
    """What trains a booster for an objective."""
    return lambda: trained(ROWS, FLAGS, objective=name, **params)


CLASSES: dict[str, Any] = {"objective": "multi:softprob", "num_class": 3}
VECTORS: dict[str, Any] = {"multi_strategy": "multi_output_tree"}
PRUNED: dict[str, Any] = {
    "tree_method": "exact",
    "gamma": 0.5,
    "max_depth": 6,
    "min_child_weight": 0,
}
MANY_LEAVES: dict[str, Any] = {"grow_policy": "lossguide", "max_leaves": 30, "max_depth": 0}
OBJECTIVES = (
    *("binary:hinge", "binary:logitraw", "count:poisson", "multi:softmax", "rank:map"),
    *("rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:pseudohubererror"),
    *("reg:quantileerror", "reg:tweedie", "survival:aft", "survival:cox"),
)
_PARAMS: dict[str, dict[str, Any]] = {
    "multi:softmax": {"num_class": 3},
    "rank:ndcg": {"lambdarank_unbiased": True},
    "reg:quantileerror": {"quantile_alpha": [0.1, 0.5, 0.9]},
}
BOOSTERS: dict[str, Callable[[], Any]] = {
    "binary": objective("binary:logistic"),
    "classes": lambda: trained(ROWS, KINDS, **CLASSES),
    "dart": lambda: trained(ROWS, FLAGS, booster="dart", rate_drop=0.5),
    "dart of classes": lambda: trained(ROWS, KINDS, booster="dart", rate_drop=0.5, **CLASSES),
    "linear": lambda: trained(ROWS, FLAGS, booster="gblinear"),
    "linear of classes": lambda: trained(ROWS, KINDS, booster="gblinear", **CLASSES),
    "outputs": lambda: trained(ROWS, ROWS[:, :3]),
    "vectors": lambda: trained(ROWS, ROWS[:, :3], **VECTORS),
    "vectors of classes": lambda: trained(ROWS, KINDS, **VECTORS, **CLASSES),
    "categories": lambda: trained(LETTERS, IN_LETTERS, max_cat_to_onehot=1),
    "one category at a time": lambda: trained(LETTERS, IN_LETTERS, max_cat_to_onehot=99),
    "pruned": lambda: trained(ROWS, NOISE, **PRUNED),
    "many leaves": lambda: trained(ROWS, NOISE, **MANY_LEAVES),
    "constant": lambda: trained(ROWS, np.zeros(120)),
    "no round": lambda: trained(ROWS, FLAGS, 0),
    "named": lambda: trained(NAMED, FLAGS),
    "slice": lambda: trained(ROWS, KINDS, 4, **CLASSES)[1:3],
    **{name: objective(name, **_PARAMS.get(name, {})) for name in OBJECTIVES},
}
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "classifier": lambda: xgboost.XGBClassifier(**SMALL).fit(ROWS, KINDS),
    "stopped early": lambda: xgboost.XGBClassifier(
        early_stopping_rounds=1, eval_metric="logloss", **SMALL
    ).fit(ROWS, FLAGS, eval_set=[(ROWS, FLAGS)], verbose=False),
    "regressor": lambda: xgboost.XGBRegressor(**SMALL).fit(NAMED, FLAGS),
    "ranker": lambda: xgboost.XGBRanker(**SMALL).fit(ROWS, FLAGS, group=[60, 60]),
    "forest": lambda: xgboost.XGBRFClassifier(**SMALL).fit(ROWS, KINDS),
    "forest of numbers": lambda: xgboost.XGBRFRegressor(**SMALL).fit(ROWS, NOISE),
    "boosted forests": lambda: xgboost.XGBClassifier(num_parallel_tree=2, **SMALL).fit(ROWS, KINDS),
}


def table_of(booster: Any) -> Any:
    """Rows that a booster can predict for."""
    if "c" in (booster.feature_types or []):
        return LETTERS
    return NAMED if booster.feature_names else ROWS
