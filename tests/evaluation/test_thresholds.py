"""Thresholds: what they take, what they mean, and the verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest

from headrace.errors import InvalidRequest, ModelValidationFailed
from headrace.evaluation.result import EvaluationResult
from headrace.evaluation.thresholds import (
    MetricThreshold,
    absolute_thresholds,
    checked_thresholds,
    for_each_slice,
    judge,
    validate_evaluation_results,
)


def passes(threshold: Any, value: float, baseline: float | None = None) -> bool:
    wanted = checked_thresholds({"m": threshold})
    before = None if baseline is None else {"m": baseline}
    return all(check.passed for check in judge(wanted, {"m": value}, {}, before))


@pytest.mark.parametrize(
    ("threshold", "value", "expected"),
    [
        (">= 0.9", 0.9, True),
        (">=0.9", 0.89, False),
        ("> 0.9", 0.9, False),
        ("<= 1e-3", 0.001, True),
        (" < -2 ", -1.9, False),
        (">= 0.9", math.nan, False),
        ("<= 0.9", math.nan, False),
        (MetricThreshold(threshold=0.9, greater_is_better=True), 0.9, True),
        (MetricThreshold(threshold=0.9, greater_is_better=True), 0.8, False),
        (MetricThreshold(threshold=3, greater_is_better=False), 3.0, True),
        (MetricThreshold(threshold=3, greater_is_better=False), 3.1, False),
    ],
)
def test_a_bound(threshold: Any, value: float, expected: bool) -> None:
    assert passes(threshold, value) is expected


@pytest.mark.parametrize(
    ("change", "greater", "value", "baseline", "expected"),
    [
        ({"min_absolute_change": 0.5}, True, 1.5, 1.0, True),
        ({"min_absolute_change": 0.5}, True, 1.25, 1.0, False),
        ({"min_absolute_change": 0.5}, False, 0.5, 1.0, True),
        ({"min_absolute_change": 0.5}, False, 0.75, 1.0, False),
        ({"min_relative_change": 0.5}, True, 3.0, 2.0, True),
        ({"min_relative_change": 0.5}, True, 2.5, 2.0, False),
        ({"min_relative_change": 0.5}, True, -1.0, -2.0, True),  # of the magnitude
        ({"min_relative_change": 0.5}, True, -1.5, -2.0, False),
        ({"min_relative_change": 0.5}, True, 1e-6, 0.0, True),  # of nothing: any improvement
        ({"min_relative_change": 0.5}, True, 0.0, 0.0, False),
    ],
)
def test_a_change_against_a_baseline(
    change: dict[str, float], greater: bool, value: float, baseline: float, expected: bool
) -> None:
    threshold = MetricThreshold(**change, greater_is_better=greater)
    assert passes(threshold, value, baseline) is expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"threshold": "0.9", "greater_is_better": True}, "'threshold'"),
        ({"threshold": True, "greater_is_better": True}, "'threshold'"),
        ({"min_absolute_change": 0, "greater_is_better": True}, "'min_absolute_change'"),
        ({"min_relative_change": 1.5, "greater_is_better": True}, "'min_relative_change'"),
        ({"threshold": 1}, "'greater_is_better'"),
        ({"threshold": 1, "greater_is_better": 1}, "'greater_is_better'"),
        ({"greater_is_better": True}, "at least one"),
    ],
)
def test_a_threshold_that_makes_no_sense(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        MetricThreshold(**fields)


@pytest.mark.parametrize("given", ["0.9", "== 1", ">= x", ">= 1.2.3", 0.9, None])
def test_no_threshold(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="'accuracy' in 'thresholds'"):
        checked_thresholds({"accuracy": given})


def test_thresholds_are_a_dictionary() -> None:
    with pytest.raises(InvalidRequest, match="list"):
        checked_thresholds([">= 1"])


def test_a_metric_that_could_not_be_computed_is_not_met_and_says_why() -> None:
    wanted = checked_thresholds({"roc_auc": ">= 0.9", "typo": ">= 1"})
    checks = judge(wanted, {"accuracy_score": 1.0}, {"roc_auc": "one class"})
    assert [check.passed for check in checks] == [False, False]
    assert checks[0].remark == "one class"
    assert "accuracy_score" in checks[1].remark


def test_every_slice_but_the_small_ones() -> None:
    sliced = {"slices/a/f1_score": 0.5, "slices/b/f1_score": 0.9, "slices/b/log_loss": 0.1}
    wanted = checked_thresholds({"slices/*/f1_score": ">= 0.8", "other": "> 0"})
    assert set(for_each_slice(wanted, sliced, {"slices/a"})) == {"slices/b/f1_score", "other"}
    assert "slices/a/f1_score" in for_each_slice(wanted, sliced, set())
    # With none left it is not met, rather than passed over.
    assert "slices/*/f1_score" in for_each_slice(wanted, sliced, {"slices/a", "slices/b"})


def test_evaluate_takes_no_changes() -> None:
    change = MetricThreshold(min_absolute_change=0.1, greater_is_better=True)
    with pytest.raises(InvalidRequest, match="validate_evaluation_results"):
        absolute_thresholds({"f1_score": change})


def test_validating_a_candidate_against_a_baseline() -> None:
    threshold = MetricThreshold(
        threshold=0.8, min_absolute_change=0.05, min_relative_change=0.05, greater_is_better=True
    )
    good, bad = EvaluationResult({"accuracy": 0.9}, {}), EvaluationResult({"accuracy": 0.7}, {})
    before = EvaluationResult({"accuracy": 0.8}, {})
    validate_evaluation_results({"accuracy": threshold}, good, before)
    with pytest.raises(ModelValidationFailed) as failed:
        validate_evaluation_results({"accuracy": threshold}, bad, before)
    assert "3 of 3" in failed.value.message
    assert "accuracy = 0.7, expected >= 0.8" in failed.value.message
    assert failed.value.error_code == "BAD_REQUEST"
    with pytest.raises(ModelValidationFailed, match="baseline has no such metric"):
        validate_evaluation_results({"accuracy": threshold}, good)


def test_validating_a_slice() -> None:
    result = EvaluationResult({}, {}, slice_metrics={"slices/old/f1_score": 0.4})
    with pytest.raises(ModelValidationFailed, match=r"slices/old/f1_score = 0\.4"):
        validate_evaluation_results({"slices/old/f1_score": ">= 0.5"}, result)
