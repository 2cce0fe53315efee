"""Pictures of how a classifier does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.evaluation.classification import Classification, confusion
from headrace.evaluation.classifier_tables import judged
from headrace.evaluation.figures import (
    BLUE,
    COLORS,
    FAINT,
    INK,
    ORANGE,
    legend,
    names_of,
    new_figure,
    style,
    unit_square,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from headrace.evaluation.curves import Curves

_NUMBERED_CLASSES: Final = 15
_NAMED_CLASSES: Final = 40
_MOST_IN_LEGEND: Final = 26


def confusion_matrix(rows: Classification) -> Figure:
    """The confusion matrix: counts, on the colour of the share of the row (the true class)."""
    import numpy as np

    counts = confusion(rows)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts, dtype=float), where=totals > 0)
    size = len(counts)
    width = min(max(4.2, 1.6 + 0.62 * size), 10)
    figure = new_figure(width + 0.6, width)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
    bar.ax.tick_params(labelsize=8, length=0, colors=INK)
    bar.set_label("share of the true class", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    style(axes, "Confusion matrix", "Predicted class", "True class", grid="")
    for spine in axes.spines.values():
        spine.set_visible(False)
    _name_classes(axes, rows.classes)
    if size <= _NUMBERED_CLASSES:
        _number_cells(axes, counts, shares)
    return figure


def roc_curve(rows: Classification) -> Figure:
    """The receiver operating characteristic of each class, with its area."""
    figure = new_figure(_width(rows), 5.2)
    axes = figure.add_subplot()
    _draw_curves(
        axes,
        rows,
        lambda curve: (curve.false_positive_rate, curve.true_positive_rate),
        lambda curve: f"AUC {curve.roc_auc:.3f}",
        0.0,
    )
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)), label="chance")
    style(axes, _titled("ROC curve", rows), "False positive rate", "True positive rate")
    unit_square(axes)
    _legend(axes, "lower right")
    return figure


def precision_recall_curve(rows: Classification) -> Figure:
    """Precision over recall of each class, with its average precision."""
    import numpy as np

    figure = new_figure(_width(rows), 5.2)
    axes = figure.add_subplot()
    _draw_curves(
        axes,
        rows,
        lambda curve: (curve.true_positive_rate, curve.precision),
        lambda curve: f"AP {curve.average_precision:.3f}",
        None,
    )
    if rows.positive is not None:
        base = float(np.average(rows.targets == rows.positive, weights=rows.weights))
        axes.axhline(
            base, color=FAINT, linewidth=1, linestyle=(0, (3, 3)), label=f"chance {base:.3f}"
        )
    style(axes, _titled("Precision and recall", rows), "Recall", "Precision")
    unit_square(axes)
    _legend(axes, "lower left")
    return figure


def calibration_curve(rows: Classification) -> Figure:
    """What came true over what was forecast, above how often each was forecast."""
    bins = rows.calibration
    figure = new_figure(5.4, 6.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)), label="perfect")
    known = bins.share > 0
    axes.vlines(
        bins.forecast[known], bins.forecast[known], bins.observed[known], color=ORANGE, alpha=0.5
    )
    axes.plot(
        bins.forecast[known],
        bins.observed[known],
        color=BLUE,
        marker="o",
        markersize=5,
        linewidth=1.6,
        label=f"model, ECE {bins.expected_error:.3f}",
    )
    of_two = rows.positive is not None
    observed = "Share of the positive class" if of_two else "Share of right predictions"
    style(axes, _titled("Calibration", rows), "", observed)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    legend(axes, loc="upper left")
    edges = bins.edges
    below.bar(
        edges[:-1], bins.share, width=edges[1:] - edges[:-1], align="edge", color=BLUE, alpha=0.35
    )
    forecast = "Forecast probability" if of_two else "Probability of the predicted class"
    style(below, "", forecast, "Share of rows", grid="y")
    below.yaxis.set_major_formatter("{x:.0%}")
    return figure


def _draw_curves(
    axes: Axes,
    rows: Classification,
    points: Callable[[Curves], tuple[Any, Any]],
    area: Callable[[Curves], str],
    start: float | None,
) -> None:
    import numpy as np

    found = judged(rows)
    names = names_of([label for label, _ in found], 18)
    for place, (_, curve) in enumerate(found):
        x, y = points(curve)
        if start is not None:  # from the threshold above all scores, where nothing is predicted
            x, y = np.append(start, x), np.append(start, y)
        else:
            x, y = np.append(0.0, x), np.append(y[0], y)
        label = area(curve) if rows.positive is not None else f"{names[place]}, {area(curve)}"
        style = "-" if place < len(COLORS) else "--"
        axes.plot(
            x, y, color=COLORS[place % len(COLORS)], linewidth=1.8, linestyle=style, label=label
        )


def _width(rows: Classification) -> float:
    return 5.6 if len(judged(rows)) < 8 else 7.4


def _legend(axes: Axes, place: str) -> None:
    """Inside, where the curves leave room; beside them for many; none for more than can be read."""
    count = len(axes.get_lines())
    if count <= 8:
        legend(axes, loc=place)
    elif count <= _MOST_IN_LEGEND:
        legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _titled(title: str, rows: Classification) -> str:
    if rows.positive is None:
        return title
    return f"{title}, positive class {names_of([rows.classes[rows.positive]], 18)[0]}"


def _name_classes(axes: Axes, classes: list[Any]) -> None:
    size = len(classes)
    if size > _NAMED_CLASSES:
        step = -(-size // 20)
        axes.set_xticks(range(0, size, step))
        axes.set_yticks(range(0, size, step))
        axes.set_xlabel("Predicted class, by its number", fontsize=9, color=INK)
        return
    names = names_of(classes, 18)
    small = 8 if size <= _NUMBERED_CLASSES else 6
    turned = 90 if max(map(len, names)) * size > 44 else 0
    axes.set_xticks(range(size), names, rotation=turned, fontsize=small)
    axes.set_yticks(range(size), names, fontsize=small)


def _number_cells(axes: Axes, counts: Any, shares: Any) -> None:
    import numpy as np

    size = len(counts)
    whole = np.all(counts == np.round(counts))
    for row, column in np.ndindex(counts.shape):
        count, share = counts[row, column], shares[row, column]
        if count == 0 and row != column:
            continue
        text = f"{count:,.0f}" if whole else f"{count:.3g}"
        if size <= 8:
            text += f"\n{share:.0%}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=9 if size <= 8 else 7,
            linespacing=1.35,
            color="white" if share > 0.55 else INK,
        )
