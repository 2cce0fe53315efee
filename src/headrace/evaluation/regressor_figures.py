"""Pictures of how a regressor does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.evaluation.figures import BLUE, FAINT, INK, ORANGE, legend, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from headrace.evaluation.regression import Regression

_MAX_DOTS: Final = 3000
"""More rows than this are drawn as a density: dots would hide each other."""
_BINS: Final = 60


def predicted_vs_actual(rows: Regression) -> Figure:
    """What was predicted over what is true, and the line on which both are the same."""
    figure = new_figure(5.4, 5.2)
    axes = figure.add_subplot()
    low = float(min(rows.targets.min(), rows.predicted.min()))
    high = float(max(rows.targets.max(), rows.predicted.max()))
    room = (high - low or 1.0) * 0.04
    density = _cloud(axes, rows.targets, rows.predicted)
    if density is not None:
        bar = figure.colorbar(density, ax=axes, fraction=0.046, pad=0.02)
        bar.ax.tick_params(labelsize=7, length=0, colors=FAINT)
        bar.set_label("rows", fontsize=8, color=INK)
        bar.outline.set_visible(False)
    ends = [low - room, high + room]
    axes.plot(ends, ends, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)), label="exact")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    style(axes, "Predicted and actual", "Actual", "Predicted")
    legend(axes, loc="upper left")
    return figure


def residuals(rows: Regression) -> Figure:
    """Residuals over predictions, and how often each occurs."""
    import numpy as np

    figure = new_figure(8.6, 4.4)
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=[2.6, 1])
    left = rows.residuals
    _cloud(axes, rows.predicted, left)
    axes.axhline(0, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
    style(axes, "Residuals", "Predicted", "Actual minus predicted")
    beside.hist(
        left,
        bins=min(_BINS, max(10, int(len(left) ** 0.5))),
        weights=rows.weights,
        orientation="horizontal",
        color=BLUE,
        alpha=0.45,
    )
    middle = float(np.average(left, weights=rows.weights))
    beside.axhline(0, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
    beside.axhline(middle, color=INK, linewidth=1, label=f"mean {middle:.3g}")
    style(beside, "", "Rows", "", grid="x")
    legend(beside, loc="upper right")
    return figure


def _cloud(axes: Axes, x: Any, y: Any) -> Any | None:
    """Dots, or of many rows their density, which is given back for a scale of its colours."""
    if len(x) <= _MAX_DOTS:
        size = 22 if len(x) <= 500 else 9
        axes.scatter(x, y, s=size, color=BLUE, alpha=0.45, linewidths=0)
        return None
    return axes.hexbin(x, y, gridsize=_BINS, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
