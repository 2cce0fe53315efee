"""The metrics of classifiers, under MLflow's names and with its values.

Everything that needs labels alone comes from three counts per class: how often it is the truth, is
predicted, and both. A property test holds the values to scikit-learn's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from headrace.evaluation.calibration import Calibration, calibration
from headrace.evaluation.curves import Curves, curves
from headrace.evaluation.measured import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.classes import Codes

    Floats = NDArray[Any]

NO_PROBABILITIES: Final = "there are no probabilities"
AVERAGES: Final = ("weighted", "macro", "micro")
_FROM_PROBABILITIES: Final = (
    *("log_loss", "roc_auc", "brier_score_loss", "expected_calibration_error"),
)
_OF_TWO_CLASSES: Final = ("precision_recall_auc",)


@dataclass(frozen=True)
class Classification:
    """Targets and predictions as numbers of classes, row by row.

    `probabilities` has a column for each class. `positive` is the number of the positive class
    where there are two classes, else None.
    """

    classes: list[Any]
    targets: Codes
    predicted: Codes
    probabilities: Floats | None = None
    weights: Floats | None = None
    positive: int | None = None
    average: str = "weighted"
    calibration_bins: int = 10

    def part(self, rows: Any) -> Classification:
        """The same of some rows, by a mask or their numbers."""
        return replace(
            self,
            targets=self.targets[rows],
            predicted=self.predicted[rows],
            probabilities=None if self.probabilities is None else self.probabilities[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    @cached_property
    def counts(self) -> Counts:
        """How often each class is the truth, is predicted, and both; by weight."""
        return counts_of(self, self.weights)

    @cached_property
    def curves(self) -> list[Curves | None]:
        """The curves of each class against the rest, of the positive class alone for two."""
        if self.probabilities is None:
            return []
        judged = range(len(self.classes)) if self.positive is None else [self.positive]
        return [
            curves(self.targets == place, self.probabilities[:, place], self.weights)
            for place in judged
        ]

    @cached_property
    def calibration(self) -> Calibration:
        """Of two classes: of the positive one's probability. Of more: of the highest
        probability, and whether its class is the truth.
        """
        import numpy as np

        assert self.probabilities is not None
        if self.positive is not None:
            forecast = self.probabilities[:, self.positive]
            hits = self.targets == self.positive
        else:
            best = np.argmax(self.probabilities, axis=1)
            forecast = self.probabilities[np.arange(len(best)), best]
            hits = best == self.targets
        return calibration(hits, forecast, self.weights, self.calibration_bins)


@dataclass(frozen=True)
class Counts:
    """By class: how often it is the truth (`actual`), is `predicted`, and both (`hit`)."""

    actual: Floats
    predicted: Floats
    hit: Floats

    @property
    def precision(self) -> Floats:
        """Of what was predicted, the part that is true; 0 where nothing was predicted."""
        return _ratio(self.hit, self.predicted)

    @property
    def recall(self) -> Floats:
        """Of what is true, the part that was predicted; 0 where nothing is true."""
        return _ratio(self.hit, self.actual)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall; 0 where there is nothing."""
        return _ratio(2 * self.hit, self.predicted + self.actual)


def measure(rows: Classification) -> Measured:
    """All metrics of a classification, and which cannot be computed, and why."""
    measured = Measured(_label_metrics(rows))
    if rows.probabilities is None:
        names = _FROM_PROBABILITIES + (() if rows.positive is None else _OF_TWO_CLASSES)
        measured.lacks(NO_PROBABILITIES, *names)
        return measured
    measured.add(_probability_metrics(rows))
    return measured


def confusion(rows: Classification) -> Floats:
    """How many rows of each class (down) were predicted as each class (across), by weight."""
    import numpy as np

    size = len(rows.classes)
    places = rows.targets * size + rows.predicted
    return np.bincount(places, rows.weights, size * size).reshape(size, size)


def counts_of(rows: Classification, weights: Floats | None) -> Counts:
    """The counts of each class by these weights; plain for None."""
    import numpy as np

    size = len(rows.classes)
    right = rows.targets == rows.predicted

    def count(codes: Codes, weight: Floats | None) -> Floats:
        return np.bincount(codes, weight, size).astype(np.float64)

    hits = count(rows.targets[right], None if weights is None else weights[right])
    return Counts(count(rows.targets, weights), count(rows.predicted, weights), hits)


def _label_metrics(rows: Classification) -> dict[str, float]:
    import numpy as np

    counts = rows.counts
    values: dict[str, float] = {"example_count": len(rows.targets)}
    if rows.positive is not None:
        plain, at = counts_of(rows, None), rows.positive
        hit, false = plain.hit[at], plain.predicted[at] - plain.hit[at]
        missed = plain.actual[at] - hit
        values |= {
            "true_negatives": int(len(rows.targets) - hit - false - missed),
            "false_positives": int(false),
            "false_negatives": int(missed),
            "true_positives": int(hit),
        }
    values["accuracy_score"] = float(counts.hit.sum() / counts.actual.sum())
    for name in ("recall", "precision", "f1"):
        values[f"{name}_score"] = _averaged(rows, getattr(counts, name))
    values["balanced_accuracy_score"] = float(np.mean(counts.recall[counts.actual > 0]))
    return values


def _averaged(rows: Classification, by_class: Floats) -> float:
    """One value of those of all classes: the positive one's, or the average that was asked for."""
    import numpy as np

    counts = rows.counts
    if rows.positive is not None:
        return float(by_class[rows.positive])
    if rows.average == "micro":  # each row has one truth and one prediction: all three are this
        return float(counts.hit.sum() / counts.actual.sum())
    if rows.average == "macro":
        return float(np.mean(by_class[counts.actual + counts.predicted > 0]))
    return float(np.average(by_class, weights=counts.actual))


def _probability_metrics(rows: Classification) -> Measured:
    import numpy as np

    assert rows.probabilities is not None
    measured = Measured()
    given = rows.probabilities
    tiny = np.finfo(given.dtype).eps
    of_truth = given[np.arange(len(given)), rows.targets]
    surprise = -np.log(np.clip(of_truth, tiny, 1 - tiny))
    measured.values["log_loss"] = float(np.average(surprise, weights=rows.weights))
    measured.add(_areas(rows))
    # The sum over classes of (p - [is the truth])², without a matrix of the truth.
    squares = np.square(given).sum(axis=1) - 2 * of_truth + 1
    if rows.positive is not None:
        squares = squares / 2  # as is usual for two classes: between 0 and 1
    measured.values["brier_score_loss"] = float(np.average(squares, weights=rows.weights))
    measured.values["expected_calibration_error"] = rows.calibration.expected_error
    return measured


def _areas(rows: Classification) -> Measured:
    measured = Measured()
    found = rows.curves
    if rows.positive is not None:
        if found[0] is None:
            measured.lacks(_one_class(rows), "roc_auc", "precision_recall_auc")
        else:
            measured.values["roc_auc"] = found[0].roc_auc
            measured.values["precision_recall_auc"] = found[0].average_precision
        return measured
    if rows.average == "micro":
        measured.lacks("it is no average of classes where 'average' is 'micro'", "roc_auc")
        return measured
    weights = rows.counts.actual if rows.average == "weighted" else [1.0] * len(found)
    areas = [(c.roc_auc, w) for c, w in zip(found, weights, strict=True) if c is not None]
    if areas:
        total = sum(weight for _, weight in areas)
        measured.values["roc_auc"] = float(sum(area * weight for area, weight in areas) / total)
    else:
        measured.lacks(_one_class(rows), "roc_auc")
    return measured


def _one_class(rows: Classification) -> str:
    label = rows.classes[int(rows.targets[0])]
    return f"all targets are {label!r}: a curve needs rows of two classes"


def _ratio(part: Floats, whole: Floats) -> Floats:
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
