"""What is kept of a classification as tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from headrace.evaluation.classification import Classification, counts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.curves import Curves
    from headrace.evaluation.tables import Table


def per_class(rows: Classification) -> Table:
    """A table with a row for each class, judged against all others."""
    plain = counts_of(rows, None)
    total, counts = len(rows.targets), rows.counts
    weight = float(counts.actual.sum())
    rest = counts.actual + counts.predicted - 2 * counts.hit  # wrong about this class
    table: dict[str, list[Any]] = {
        "positive_class": list(rows.classes),
        "true_negatives": _whole(total - plain.actual - plain.predicted + plain.hit),
        "false_positives": _whole(plain.predicted - plain.hit),
        "false_negatives": _whole(plain.actual - plain.hit),
        "true_positives": _whole(plain.hit),
        "example_count": [total] * len(rows.classes),
        "accuracy_score": (1 - rest / weight).tolist(),
        "recall_score": counts.recall.tolist(),
        "precision_score": counts.precision.tolist(),
        "f1_score": counts.f1.tolist(),
    }
    if len(rows.curves) == len(rows.classes):
        table["roc_auc"] = [None if c is None else c.roc_auc for c in rows.curves]
        table["precision_recall_auc"] = [
            None if c is None else c.average_precision for c in rows.curves
        ]
    return table


def confusion_table(rows: Classification, matrix: NDArray[Any]) -> Table:
    """The confusion matrix: a row for each true class, a column for each predicted one."""
    columns = {
        f"predicted {label}": matrix[:, at].tolist() for at, label in enumerate(rows.classes)
    }
    return {"true": list(rows.classes), **columns}


def roc_points(rows: Classification) -> Table:
    """The points of the ROC curves, thinned as they are drawn."""
    return _points(rows, ("false_positive_rate", "true_positive_rate"))


def pr_points(rows: Classification) -> Table:
    """The points of the precision-recall curves, thinned as they are drawn."""
    return _points(rows, ("true_positive_rate", "precision"))


def calibration_points(rows: Classification) -> Table:
    """The bins of the calibration curve; None for the means of an empty one."""
    bins = rows.calibration
    return {
        "from": bins.edges[:-1].tolist(),
        "to": bins.edges[1:].tolist(),
        "mean_forecast": _known(bins.forecast),
        "observed": _known(bins.observed),
        "share": bins.share.tolist(),
    }


def judged(rows: Classification) -> list[tuple[Any, Curves]]:
    """Each class that has curves, with them."""
    classes = rows.classes if rows.positive is None else [rows.classes[rows.positive]]
    pairs = zip(classes, rows.curves, strict=True) if rows.curves else ()
    return [(label, curve) for label, curve in pairs if curve is not None]


def _points(rows: Classification, names: tuple[str, ...]) -> Table:
    table: dict[str, list[Any]] = {name: [] for name in ("class", "threshold", *names)}
    for label, curve in judged(rows):
        table["class"] += [label] * len(curve.thresholds)
        table["threshold"] += curve.thresholds.tolist()
        for name in names:
            table[name] += getattr(curve, name).tolist()
    if "precision" in table:
        table["recall"] = table.pop("true_positive_rate")
    return table


def _known(values: NDArray[Any]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _whole(values: NDArray[Any]) -> list[int]:
    return [int(value) for value in values.tolist()]
