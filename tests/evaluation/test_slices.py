"""Slices: which rows they are, what is measured of them, which are too small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headrace
from headrace.evaluation.evaluate import evaluate
from headrace.evaluation.options import Options
from headrace.evaluation.rows import Roles, rows_of
from headrace.evaluation.slices import MAX_VALUES, slices_of


def found(table: Any, slices: Any) -> dict[str, int]:
    rows = rows_of(table, Roles(), Options())
    return {part.name: int(part.rows.sum()) for part in slices_of(slices, rows)}


def test_each_value_of_a_category_is_a_slice() -> None:
    table = pd.DataFrame({"sex": ["f", "m", "f", None], "old": [True, False, True, True]})
    assert found(table, ["sex", "old"]) == {
        "sex: f": 2,
        "sex: m": 1,
        "sex: missing": 1,
        "old: False": 1,
        "old: True": 3,
    }


def test_few_numbers_are_values_and_many_are_quartiles() -> None:
    table = pd.DataFrame({"few": [1, 2] * 50, "many": range(100)})
    assert found(table, "few") == {"few: 1": 50, "few: 2": 50}
    assert found(table, "many") == {
        "many: 0 to 24": 25,
        "many: 25 to 49": 25,
        "many: 50 to 74": 25,
        "many: 75 to 99": 25,
    }


def test_numbers_that_pile_up_make_fewer_bins_and_none_is_empty() -> None:
    table = pd.DataFrame({"x": [0.0] * 90 + list(np.arange(1.0, 11.0))})
    sizes = found(table, ["x"])
    assert sum(sizes.values()) == 100
    assert all(sizes.values())


def test_missing_numbers_are_a_slice_of_their_own() -> None:
    table = pd.DataFrame({"x": [*range(20), None, np.nan]})
    sizes = found(table, ["x"])
    assert sizes["x: missing"] == 2
    assert sum(sizes.values()) == 22


def test_days_are_binned() -> None:
    table = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=40)})
    names = list(found(table, ["day"]))
    assert len(names) == 4
    assert names[0].startswith("day: 2026-01-01")


def test_rare_values_of_many_are_one_slice() -> None:
    values = [f"v{number}" for number in range(30) for _ in range(number + 1)]
    sizes = found(pd.DataFrame({"v": values}), ["v"])
    assert len(sizes) == MAX_VALUES
    assert sizes["v: v29"] == 30
    assert sizes["v: all others"] == sum(range(1, 12))


@pytest.mark.parametrize("library", [pd, pl])
def test_slices_by_a_condition(library: Any) -> None:
    table = library.DataFrame({"age": [10, 20, 30]})
    old = np.array([False, True, True])
    assert found(
        table,
        [
            {"name": "old", "where": lambda rows: rows["age"] >= 20},
            {"name": "also", "where": old},
            {"name": "list", "where": [True, True, False]},
            {"name": "kind", "by": ["a", "b", "b"]},
        ],
    ) == {"old": 2, "also": 2, "list": 2, "kind: a": 1, "kind: b": 2}


@pytest.mark.usefixtures("database")
def test_slices_are_measured_logged_and_compared() -> None:
    table = pd.DataFrame({"group": ["a"] * 40 + ["b"] * 40 + ["ü$"] * 5, "y": [0, 1] * 42 + [0]})
    said = table["y"].where(table["group"] != "b", 0)
    result = evaluate(
        data=table,
        targets="y",
        predictions=said.to_numpy(),
        model_type="classifier",
        slices=["group"],
    )
    assert result.slice_metrics["slices/group: a/accuracy_score"] == 1.0
    assert result.slice_metrics["slices/group: b/accuracy_score"] == 0.5
    assert result.slice_metrics["slices/group: ü_/example_count"] == 5
    lines = result.tables["slices"].set_index("slice")
    assert list(lines["small"]) == [False, False, True]
    overall = result.metrics["accuracy_score"]
    assert lines["accuracy_score_difference"]["group: b"] == pytest.approx(0.5 - overall)
    metrics = headrace.get_run(str(result.run_id)).data.metrics
    assert metrics["slices/group: b/accuracy_score"] == 0.5
    assert "slices_plot" in result.artifacts


@pytest.mark.usefixtures("database")
def test_a_slice_that_lacks_a_class_says_so_and_the_others_are_measured() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 60)
    only = truth.copy()
    result = evaluate(
        data=np.zeros((60, 1)),
        targets=truth,
        probabilities=np.clip(truth * 0.5 + random.random(60) * 0.5, 0, 1),
        predictions=truth,
        model_type="classifier",
        slices=[{"name": "ones", "where": only == 1}, {"name": "all", "where": only >= 0}],
        thresholds={"slices/ones/roc_auc": ">= 0.5"},
    )
    assert "slices/ones/roc_auc" not in result.slice_metrics
    assert "slices/all/roc_auc" in result.slice_metrics
    assert "all targets are 1" in result.verdict[0].remark
