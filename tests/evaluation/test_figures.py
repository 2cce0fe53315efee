"""Pictures are drawn of whatever there is, and pyplot, which is the user's, is left alone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from headrace.evaluation import bar_figures, classifier_figures, regressor_figures
from headrace.evaluation.classification import Classification
from headrace.evaluation.regression import Regression
from headrace.evaluation.report import png_of


def classification(labels: list[Any], weighted: bool = False) -> Classification:
    random = np.random.default_rng(0)
    size, count = len(labels), 40 * len(labels)
    truth = np.arange(count) % size
    probabilities = random.dirichlet(np.ones(size), count) + 2 * np.eye(size)[truth] / size
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Classification(
        labels,
        truth,
        probabilities.argmax(axis=1),
        probabilities,
        random.random(count) if weighted else None,
        1 if size == 2 else None,
    )


LABELS: list[list[Any]] = [
    [0, 1],
    ["no", "yes"],
    ["$x^2$", "a_b$", "line\nbreak"],
    ["猫", "犬", "鳥"],
    ["a very long name of a class that goes on", "another such name", "c"],
    list(range(12)),
    [f"class number {number}" for number in range(30)],
    list(range(100)),
]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("weighted", [False, True])
def test_pictures_of_classes(labels: list[Any], weighted: bool) -> None:
    rows = classification(labels, weighted)
    for draw in (
        classifier_figures.confusion_matrix,
        classifier_figures.roc_curve,
        classifier_figures.precision_recall_curve,
        classifier_figures.calibration_curve,
    ):
        assert png_of(draw(rows)).startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 2, 100, 5000])
def test_pictures_of_regressions(count: int) -> None:
    random = np.random.default_rng(0)
    rows = Regression(random.random(count), random.random(count))
    for draw in (regressor_figures.predicted_vs_actual, regressor_figures.residuals):
        assert png_of(draw(rows)).startswith(b"\x89PNG")


def test_a_regression_without_spread() -> None:
    rows = Regression(np.full(5, 2.0), np.full(5, 2.0))
    for draw in (regressor_figures.predicted_vs_actual, regressor_figures.residuals):
        assert png_of(draw(rows)).startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 3, 200])
def test_pictures_with_bars(count: int) -> None:
    values = [(-1) ** at * 1 / (at + 1) for at in range(count)]
    names = [f"f{at}$" for at in range(count)]
    table = {"feature": names, "coefficient": values}
    assert png_of(bar_figures.importance(table, "feature_importance"))
    slices: dict[str, list[Any]] = {
        "slice": names,
        "rows": list(range(count)),
        "small": [at % 2 == 0 for at in range(count)],
        "accuracy_score": values,
    }
    assert png_of(bar_figures.slices(slices, "accuracy_score", 0.5))


def test_pyplot_is_left_alone() -> None:
    before = "matplotlib.pyplot" in sys.modules
    png_of(classifier_figures.confusion_matrix(classification([0, 1])))
    assert ("matplotlib.pyplot" in sys.modules) is before
