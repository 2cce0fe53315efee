"""Texts of LightGBM that would end the process are refused before LightGBM reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headrace.lightgbm as door
from headrace.errors import InvalidModel
from headrace.models.flavors.lightgbm_text import check_text
from headrace.models.loading import load_model
from headrace.models.trust import SIGNATURE_FILE

lightgbm = pytest.importorskip("lightgbm")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
RNG = np.random.default_rng(3)
ROWS = RNG.random((200, 3))
LETTERS = pd.DataFrame({"a": pd.Categorical(RNG.choice(list("abcdefg"), 200)), "b": ROWS[:, 0]})


def trained(data: Any, target: Any, rounds: int = 3, **params: Any) -> Any:
    given = {"verbose": -1, "num_threads": 1, "num_leaves": 5, **params}
    return lightgbm.train(given, lightgbm.Dataset(data, target), rounds)


BOOSTER = trained(ROWS, ROWS[:, 0] > 0.5)
TEXT = BOOSTER.model_to_string()


@pytest.mark.parametrize(
    "booster",
    [
        BOOSTER,
        trained(ROWS, np.zeros(200)),  # trees of one leaf
        trained(ROWS, ROWS[:, 0] * ROWS[:, 1], linear_tree=True),
        trained(ROWS, RNG.integers(0, 3, 200), objective="multiclass", num_class=3),
        trained(LETTERS, LETTERS["a"].isin(list("abc")).astype(int), min_data_per_group=1),
        trained(ROWS, ROWS[:, 0], num_leaves=40, min_data_in_leaf=1, rounds=20),
        trained(ROWS, ROWS[:, 0], boosting="rf", bagging_freq=1, bagging_fraction=0.5),
    ],
    ids=["plain", "constant", "linear", "multiclass", "categories", "deep", "forest"],
)
def test_what_lightgbm_writes_is_good(booster: Any) -> None:
    check_text(booster.model_to_string())


def _changed(name: str, value: str) -> str:
    """The text with another value of the first entry of this name."""
    before, _, rest = TEXT.partition(f"\n{name}=")
    return f"{before}\n{name}={value}\n{rest.partition(chr(10))[2]}"


CRAFTED = {
    **{f"cut at {part} of 20": TEXT[: len(TEXT) * part // 20] for part in range(18)},
    **{f"twice from {part} of 20": TEXT[: len(TEXT) * part // 20] + TEXT for part in range(1, 20)},
    "a feature that there is not": _changed("split_feature", "0 0 999999 0"),
    "a child that there is not": _changed("left_child", "1 2 999999 -1"),
    "a circle": _changed("left_child", "0 0 0 0"),
    "too few thresholds": _changed("threshold", "0.5"),
    "leaves without numbers": _changed("num_leaves", "1000000"),
    "categories that it has not": _changed("decision_type", "1 1 1 1"),
    "trees elsewhere": _changed("tree_sizes", "-5 999999 1"),
    "fewer names": _changed("feature_names", "a"),
    "no number": _changed("max_feature_idx", "many"),
    "more features": _changed("max_feature_idx", "99999999999"),
    "a zero byte": TEXT.replace("Tree=1", "Tree=\0"),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_texts_are_refused(tmp_path: Path, case: str) -> None:
    door.save_model(BOOSTER, tmp_path / "m")
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    (tmp_path / "m" / "model.lgb").write_text(CRAFTED[case])
    with pytest.raises(InvalidModel, match=r"model\.lgb"):
        load_model(tmp_path / "m")
