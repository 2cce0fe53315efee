"""The metrics of regressors, under MLflow's names and with its values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.evaluation.measured import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.tables import Table

    Floats = NDArray[Any]


@dataclass(frozen=True)
class Regression:
    """Targets and predictions as float64, row by row."""

    targets: Floats
    predicted: Floats
    weights: Floats | None = None

    def part(self, rows: Any) -> Regression:
        """The same of some rows, by a mask or their numbers."""
        return replace(
            self,
            targets=self.targets[rows],
            predicted=self.predicted[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    @property
    def residuals(self) -> Floats:
        """Target minus prediction: positive where the prediction is too low."""
        residuals: Floats = self.targets - self.predicted
        return residuals


def measure(rows: Regression) -> Measured:
    """All metrics of a regression, and which cannot be computed, and why."""
    import numpy as np

    targets, weights = rows.targets, rows.weights
    errors = np.abs(rows.residuals)
    squared = float(np.average(errors**2, weights=weights))
    total = float(targets.sum() if weights is None else (targets * weights).sum())
    tiny = np.finfo(np.float64).eps
    measured = Measured(
        {
            "example_count": len(targets),
            "mean_absolute_error": float(np.average(errors, weights=weights)),
            "mean_squared_error": squared,
            "root_mean_squared_error": squared**0.5,
            "sum_on_target": total,
            "mean_on_target": total / len(targets),
            "max_error": float(errors.max()),
            "mean_absolute_percentage_error": float(
                np.average(errors / np.maximum(np.abs(targets), tiny), weights=weights)
            ),
        }
    )
    if len(targets) < 2:
        measured.lacks("there is only one row", "r2_score")
    else:
        measured.values["r2_score"] = _r2(rows, squared)
    return measured


def residual_quantiles(rows: Regression) -> Table:
    """Where the residuals lie: the part of rows at or below each value."""
    import numpy as np

    parts = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1]
    return {"quantile": parts, "residual": np.quantile(rows.residuals, parts).tolist()}


def _r2(rows: Regression, squared: float) -> float:
    """The part of the targets' variance that is explained.

    Of targets that are all the same it is 1 for exact predictions, else 0, as scikit-learn has it.
    """
    import numpy as np

    mean = np.average(rows.targets, weights=rows.weights)
    variance = float(np.average((rows.targets - mean) ** 2, weights=rows.weights))
    if variance == 0:
        return 1.0 if squared == 0 else 0.0
    return 1 - squared / variance
