"""What XGBoost and LightGBM have in common: rounds of boosting, early stopping, importances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from headrace.client.autolog.recording import Recorder

MOST_BARS: Final = 30
"""Features that a plot shows, the most important; the JSON beside it has all of them."""


def log_early_stopping(
    log: Recorder, history: Sequence[Mapping[str, float]], best: int, *, first_round: int
) -> None:
    """Log which round was the best and which the last.

    `history` has the metrics of each round, `best` and the last are counted from `first_round`.
    The best round's metrics become the run's latest ones, at the step after the last.
    """
    last = len(history) - 1 + first_round
    log.metrics({"stopped_iteration": last, "best_iteration": best})
    if 0 <= best - first_round < len(history):
        log.metrics(history[best - first_round], step=len(history))


def log_importance(log: Recorder, importance: Mapping[str, Any], kind: str) -> None:
    """Log how much each feature was worth: all as JSON, and the first `MOST_BARS` as a plot.

    Without Matplotlib there is no plot.
    """
    log.dictionary(dict(importance), f"feature_importance_{kind}.json")
    if importance and find_spec("matplotlib") is not None:
        log.figure(_bars(importance, kind), f"feature_importance_{kind}.png")


def _bars(importance: Mapping[str, Any], kind: str) -> Any:
    from matplotlib.figure import Figure

    sizes = {str(name): _size(value) for name, value in importance.items()}
    shown = sorted(sizes, key=lambda name: sizes[name])[-MOST_BARS:]
    # A figure of its own: pyplot would keep it, and may look for a screen.
    figure = Figure(figsize=(6.4, max(2.0, 0.25 * len(shown) + 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(shown)), [sizes[name] for name in shown])
    axes.set_yticks(range(len(shown)), shown, parse_math=False)
    axes.set_xlabel(f"Importance ({kind})")
    axes.set_title("Feature importance")
    return figure


def _size(value: Any) -> float:
    """One number for a feature; linear models have one for each class."""
    if isinstance(value, Sequence):
        return sum(abs(float(part)) for part in value) / max(len(value), 1)
    return float(value)
