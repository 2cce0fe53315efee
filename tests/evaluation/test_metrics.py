"""Every metric is scikit-learn's, over any labels, probabilities and weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from headrace.errors import InvalidRequest
from headrace.evaluation import classification, regression
from headrace.evaluation.classes import codes_of, known_classes
from headrace.evaluation.classification import Classification
from headrace.evaluation.regression import Regression

pytestmark = pytest.mark.filterwarnings(
    # scikit-learn says of each metric that it puts 0 where nothing was predicted, as we do
    "ignore::sklearn.exceptions.UndefinedMetricWarning",
    "ignore:y_pred contains classes not in y_true:UserWarning",
)


@st.composite
def classifications(draw: st.DrawFn) -> Classification:
    """Rows of two to five classes, all of which are among the targets; some with weights."""
    size = draw(st.integers(2, 5))
    rows = draw(st.integers(size, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(size), random.integers(0, size, rows - size)])
    probabilities = random.random((rows, size)) + 1e-3
    if draw(st.booleans()):  # ties
        probabilities = np.round(probabilities, 1) + 0.1
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    weights = random.random(rows) + 0.1 if draw(st.booleans()) else None
    return Classification(
        list(range(size)),
        targets,
        predicted,
        probabilities,
        weights,
        draw(st.integers(0, 1)) if size == 2 else None,
        draw(st.sampled_from(classification.AVERAGES)),
    )


@given(classifications())
def test_classifier_metrics_are_those_of_scikit_learn(rows: Classification) -> None:
    truth, said, weights = rows.targets, rows.predicted, rows.weights
    average = "binary" if rows.positive is not None else rows.average
    one: dict[str, Any] = {
        "average": average,
        "sample_weight": weights,
        "zero_division": 0.0,
        "pos_label": 1 if rows.positive is None else rows.positive,
    }
    expected = {
        "example_count": len(truth),
        "accuracy_score": sk.accuracy_score(truth, said, sample_weight=weights),
        "balanced_accuracy_score": sk.balanced_accuracy_score(truth, said, sample_weight=weights),
        "precision_score": sk.precision_score(truth, said, **one),
        "recall_score": sk.recall_score(truth, said, **one),
        "f1_score": sk.f1_score(truth, said, **one),
        "log_loss": sk.log_loss(truth, rows.probabilities, sample_weight=weights),
    }
    assert rows.probabilities is not None
    if rows.positive is not None:
        score = rows.probabilities[:, rows.positive]
        hits = truth == rows.positive
        expected |= {
            "roc_auc": sk.roc_auc_score(hits, score, sample_weight=weights),
            "precision_recall_auc": sk.average_precision_score(hits, score, sample_weight=weights),
            "brier_score_loss": sk.brier_score_loss(hits, score, sample_weight=weights),
        }
    elif rows.average != "micro":
        expected["roc_auc"] = sk.roc_auc_score(
            truth,
            rows.probabilities,
            multi_class="ovr",
            average=rows.average,
            sample_weight=weights,
        )
    found = classification.measure(rows).values
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@given(classifications())
def test_curves_run_through_the_points_of_scikit_learn(rows: Classification) -> None:
    place = rows.positive or 0
    assert rows.probabilities is not None
    score, hits = rows.probabilities[:, place], rows.targets == place
    false, true, thresholds = sk.roc_curve(
        hits, score, sample_weight=rows.weights, drop_intermediate=False
    )
    curve = rows.curves[0]
    assert curve is not None
    assert curve.thresholds == pytest.approx(thresholds[1:])
    assert curve.false_positive_rate == pytest.approx(false[1:])
    assert curve.true_positive_rate == pytest.approx(true[1:])
    precision, _, _ = sk.precision_recall_curve(hits, score, sample_weight=rows.weights)
    assert curve.precision == pytest.approx(precision[:-1][::-1])


@given(
    st.lists(
        st.tuples(
            st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0.1, 10, allow_subnormal=False)
        ),
        min_size=2,
        max_size=40,
    ),
    st.booleans(),
)
def test_regressor_metrics_are_those_of_scikit_learn(
    values: list[tuple[float, float, float]], weighted: bool
) -> None:
    truth, said, given_weights = np.array(values).T
    weights = given_weights if weighted else None
    found = regression.measure(Regression(truth, said, weights)).values
    expected = {
        "mean_absolute_error": sk.mean_absolute_error,
        "mean_squared_error": sk.mean_squared_error,
        "root_mean_squared_error": sk.root_mean_squared_error,
        "mean_absolute_percentage_error": sk.mean_absolute_percentage_error,
    }
    for name, function in expected.items():
        value = function(truth, said, sample_weight=weights)
        assert found[name] == pytest.approx(value, rel=1e-9), name
    assert found["max_error"] == pytest.approx(sk.max_error(truth, said))
    if np.ptp(truth) > 1e-3:
        value = sk.r2_score(truth, said, sample_weight=weights)
        assert found["r2_score"] == pytest.approx(value, rel=1e-6)


def test_targets_that_are_all_the_same() -> None:
    exact = regression.measure(Regression(np.full(3, 2.0), np.full(3, 2.0)))
    wrong = regression.measure(Regression(np.full(3, 2.0), np.array([2.0, 2.0, 3.0])))
    assert (exact.values["r2_score"], wrong.values["r2_score"]) == (1.0, 0.0)


def test_one_row_has_no_r2() -> None:
    measured = regression.measure(Regression(np.array([1.0]), np.array([2.0])))
    assert "r2_score" not in measured.values
    assert measured.missing == {"r2_score": "there is only one row"}


def test_data_of_one_class_says_what_cannot_be_computed() -> None:
    certain = np.tile([0.2, 0.8], (4, 1))
    rows = Classification(
        ["no", "yes"], np.ones(4, int), np.ones(4, int), certain, None, positive=1
    )
    measured = classification.measure(rows)
    assert measured.values["accuracy_score"] == 1.0
    assert measured.values["log_loss"] == pytest.approx(-math.log(0.8))
    assert set(measured.missing) == {"roc_auc", "precision_recall_auc"}
    assert "all targets are 'yes'" in measured.missing["roc_auc"]


def test_a_class_that_is_missing_from_the_targets_leaves_the_average_of_the_others() -> None:
    random = np.random.default_rng(3)
    probabilities = random.dirichlet([1, 1, 1], 40)
    truth = random.integers(0, 2, 40)  # never the third
    rows = Classification([0, 1, 2], truth, probabilities.argmax(axis=1), probabilities)
    found = classification.measure(rows).values["roc_auc"]
    areas = [sk.roc_auc_score(truth == place, probabilities[:, place]) for place in (0, 1)]
    assert found == pytest.approx(np.average(areas, weights=np.bincount(truth)))


def test_calibration_error_of_bins_worked_out_by_hand() -> None:
    # Two bins: 0.2 was forecast, a half came true; 0.9 was forecast, all came true.
    positive = np.array([0.2, 0.2, 0.9, 0.9])
    rows = Classification(
        [0, 1],
        np.array([0, 1, 1, 1]),
        (positive > 0.5).astype(int),
        np.column_stack([1 - positive, positive]),
        positive=1,
        calibration_bins=2,
    )
    found = classification.measure(rows).values["expected_calibration_error"]
    assert found == pytest.approx(0.5 * 0.3 + 0.5 * 0.1)


@pytest.mark.parametrize(
    ("targets", "predictions", "expected"),
    [
        ([0, 1], [1.0, 0.0], [0, 1]),
        ([True, False], [1, 0], [False, True]),
        (["b", "a"], ["a", "c"], ["a", "b", "c"]),
    ],
)
def test_labels_that_are_equal_are_one_class(
    targets: list[Any], predictions: list[Any], expected: list[Any]
) -> None:
    classes = known_classes(targets, predictions, None, None)
    assert classes == expected
    assert codes_of(predictions, classes).max() < len(classes)


def test_labels_of_two_types_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"different types \(int, str\)"):
        known_classes([0, 1], ["0", "1"], None, None)


def test_probabilities_as_labels_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="'probabilities'"):
        known_classes([0, 1], [0.73, 0.1], None, None)


def test_curves_of_many_rows_keep_their_ends_and_area() -> None:
    random = np.random.default_rng(0)
    scores = random.random(50_000)
    hits = random.random(50_000) < scores
    rows = Classification(
        [0, 1],
        hits.astype(int),
        hits.astype(int),
        np.column_stack([1 - scores, scores]),
        positive=1,
    )
    curve = rows.curves[0]
    assert curve is not None
    assert len(curve.thresholds) <= 1000
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1.0, 1.0)
    assert curve.roc_auc == pytest.approx(sk.roc_auc_score(hits, scores))
