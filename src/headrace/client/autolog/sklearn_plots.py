"""Pictures of how a classifier does on its training data.

Drawn on figures of their own: pyplot, whose state is the user's, is left alone.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from headrace.client.autolog.sklearn_training import Predictions, Training

MAX_CLASSES: Final = 60
"""A confusion matrix of more classes cannot be read, and is not drawn."""
_MAX_POINTS: Final = 2000
_NUMBERED_CLASSES: Final = 15
_LAST_IN_FONT: Final = 0x52F
"""DejaVu Sans, which Matplotlib brings along, has Latin, Greek and Cyrillic letters."""


def can_draw() -> bool:
    """Whether Matplotlib is installed."""
    return find_spec("matplotlib") is not None


def confusion_matrix(
    training: Training, predictions: Predictions, labels: Any = None
) -> Figure | None:
    """The confusion matrix, each row (a true class) as shares; None for too many classes."""
    import numpy as np
    from sklearn import metrics

    if labels is None:
        labels = np.unique(np.concatenate([training.targets, predictions.classes]))
    if len(labels) > MAX_CLASSES:
        return None
    shares = metrics.confusion_matrix(
        training.targets,
        predictions.classes,
        labels=labels,
        sample_weight=training.weights,
        normalize="true",
    )
    figure, axes = _new_figure(5.5, 4.8)
    figure.set_layout_engine("constrained")  # names of classes take the room that they need
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes)
    names = _names_of(labels)
    size = 8 if len(names) <= _NUMBERED_CLASSES else 4.5
    turned = 90 if sum(map(len, names)) > 40 else 0
    axes.set_xticks(range(len(names)), names, rotation=turned, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= _NUMBERED_CLASSES:
        for row, column in np.ndindex(shares.shape):
            share = shares[row, column]
            color = "white" if share > 0.5 else "black"
            axes.text(
                column, row, f"{share:.2f}", ha="center", va="center", fontsize=size, color=color
            )
    axes.set(xlabel="Predicted", ylabel="True", title="Confusion matrix, training data")
    return figure


def roc_curve(training: Training, scores: Any, positive: Any) -> Figure:
    """The receiver operating characteristic of two classes, with its area."""
    from sklearn import metrics

    false, true, _ = metrics.roc_curve(
        training.targets, scores, pos_label=positive, sample_weight=training.weights
    )
    figure, axes = _new_figure(5.0, 4.5)
    area = metrics.auc(false, true)
    axes.plot(_thinned(false), _thinned(true), label=f"area {area:.3f}")
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray", label="chance")
    axes.set(
        xlabel="False positive rate", ylabel="True positive rate", title="ROC curve, training data"
    )
    axes.legend(loc="lower right")
    return figure


def precision_recall_curve(training: Training, scores: Any, positive: Any) -> Figure:
    """Precision over recall of two classes, with the average precision."""
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(
        training.targets, scores, pos_label=positive, sample_weight=training.weights
    )
    average = metrics.average_precision_score(
        training.targets, scores, pos_label=positive, sample_weight=training.weights
    )
    figure, axes = _new_figure(5.0, 4.5)
    axes.step(
        _thinned(recall),
        _thinned(precision),
        where="post",
        label=f"average precision {average:.3f}",
    )
    axes.set(
        xlabel="Recall",
        ylabel="Precision",
        title="Precision-recall curve, training data",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.05),
    )
    axes.legend(loc="lower left")
    return figure


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _thinned(values: Any) -> Any:
    """At most `_MAX_POINTS` of the points of a curve, its ends among them."""
    import numpy as np

    if len(values) <= _MAX_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, _MAX_POINTS).astype(int)]


def _names_of(labels: Any) -> list[str]:
    """The classes as text; their numbers, where Matplotlib's font may not have their letters."""
    names = [str(label) for label in labels]
    if any(ord(letter) > _LAST_IN_FONT for name in names for letter in name):
        return [f"class {number}" for number in range(len(names))]
    return [name if len(name) <= 18 else name[:17] + "…" for name in names]
