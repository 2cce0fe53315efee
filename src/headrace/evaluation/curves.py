"""ROC and precision-recall curves, from one sort of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

MAX_POINTS: Final = 1000
"""What is drawn and kept of a curve; areas are computed over all points."""


@dataclass(frozen=True)
class Curves:
    """Both curves of one class against the rest, from the highest threshold to the lowest."""

    thresholds: Floats
    false_positive_rate: Floats
    true_positive_rate: Floats
    precision: Floats
    roc_auc: float
    average_precision: float


def curves(hits: Floats, scores: Floats, weights: Floats | None) -> Curves | None:
    """The curves of `scores` for the rows where `hits` is true; None if it is for all or none.

    The area under the ROC curve is by trapezoids; the average precision is the sum over
    thresholds of precision times the growth of recall, without interpolation.
    """
    import numpy as np

    order = np.argsort(scores, kind="stable")[::-1]
    ordered = scores[order]
    share = np.ones(len(scores)) if weights is None else weights[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    true = np.cumsum(share * hits[order])[ends]
    false = np.cumsum(share * ~hits[order])[ends]
    if not true[-1] or not false[-1]:
        return None
    recall, fallout = true / true[-1], false / false[-1]
    taken = true + false
    precision = np.divide(true, taken, out=np.zeros_like(true), where=taken > 0)
    steps = np.diff(fallout, prepend=0.0)
    area = np.sum(steps * (recall - np.diff(recall, prepend=0.0) / 2))
    average = np.sum(np.diff(recall, prepend=0.0) * precision)
    kept = _spread(recall + fallout)
    return Curves(
        ordered[ends][kept],
        fallout[kept],
        recall[kept],
        precision[kept],
        float(area),
        float(average),
    )


def _spread(way: Floats) -> Any:
    """At most `MAX_POINTS` places, spread evenly along the curve, its ends among them."""
    import numpy as np

    if len(way) <= MAX_POINTS:
        return slice(None)
    inner = np.searchsorted(way, np.linspace(way[0], way[-1], MAX_POINTS - 2))
    return np.unique(np.concatenate([[0], inner, [len(way) - 1]]))
