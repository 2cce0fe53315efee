"""How all figures of an evaluation look.

Drawn on figures of their own: pyplot, whose state is the user's, is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people with any kind of colour vision can tell apart: Okabe and Ito, "Color
# universal design", 2008; the first one darker, for lines.
COLORS: Final = (
    *("#0a6ebd", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#7f5fb0", "#8c6d31", "#5d6770", "#b8336a"),
)
BLUE: Final = COLORS[0]
ORANGE: Final = COLORS[1]
INK: Final = "#22272e"
FAINT: Final = "#8b949e"
GRID: Final = "#e4e8ec"
DPI: Final = 150
_LAST_IN_FONT: Final = 0x52F
"""DejaVu Sans, which Matplotlib brings along, has Latin, Greek and Cyrillic letters."""
_LONGEST: Final = 28


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose axes take the room that they need."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes, title: str, x: str, y: str, grid: Any = "both") -> None:
    """Titles, a light grid behind, and no more lines than it takes."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame of its own."""
    axes.legend(fontsize=8, frameon=True, framealpha=0.9, edgecolor="none", **options)


def names_of(labels: Any, longest: int = _LONGEST) -> list[str]:
    """Labels as texts that can be drawn: short, no formulas, and letters that the font has.

    Where it may not have a letter, all are called by their numbers.
    """
    names = [str(label) for label in labels]
    if any(ord(letter) > _LAST_IN_FONT for name in names for letter in name):
        return [f"no. {number}" for number in range(len(names))]
    short = [name if len(name) <= longest else name[: longest - 1] + "…" for name in names]
    return [name.replace("$", r"\$").replace("\n", " ") for name in short]


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1, with as much paper for each."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
