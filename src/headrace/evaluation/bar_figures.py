"""Pictures with a bar for each thing: features, and slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.evaluation.figures import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    legend,
    names_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headrace.evaluation.tables import Table

MAX_BARS: Final = 25


def importance(table: Table, title: str) -> Figure:
    """The features that count most; bars to the left are below zero."""
    names = names_of(table["feature"][:MAX_BARS])
    kind = list(table)[1]
    values = list(table[kind][:MAX_BARS])
    left_out = len(table["feature"]) - len(names)
    figure = new_figure(6.4, 1.3 + 0.26 * len(names))
    axes = figure.add_subplot()
    colors = [BLUE if value >= 0 else ORANGE for value in values]
    axes.barh(range(len(names)), values, color=colors, height=0.68)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0, color=FAINT, linewidth=0.8)
    plain = title.replace("_", " ").capitalize()
    below = kind.capitalize() + (f" ({left_out:,} more features not shown)" if left_out else "")
    style(axes, plain, below, "", grid="x")
    return figure


def slices(table: Table, metric: str, whole: float) -> Figure:
    """A metric of each slice beside that of all rows; small slices are hollow."""
    values = table[metric]
    order = list(range(len(values)))[:60]
    names = names_of([f"{table['slice'][at]}  ({table['rows'][at]:,})" for at in order], 44)
    figure = new_figure(7.0, 1.4 + 0.28 * len(order))
    axes = figure.add_subplot()
    for place, at in enumerate(order):
        small = table["small"][at]
        axes.plot([whole, values[at]], [place, place], color=BLUE, linewidth=1.6, alpha=0.5)
        axes.plot(
            values[at],
            place,
            "o",
            markersize=6,
            markeredgecolor=BLUE,
            markerfacecolor="white" if small else BLUE,
        )
    axes.axvline(
        whole, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)), label=f"all rows {whole:.4g}"
    )
    if any(table["small"]):
        axes.plot([], [], "o", markeredgecolor=BLUE, markerfacecolor="white", label="few rows")
    axes.set_yticks(range(len(order)), names)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.tick_params(axis="y", colors=INK)
    style(axes, "Slices", metric.replace("_", " "), "", grid="x")
    legend(axes, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return figure
