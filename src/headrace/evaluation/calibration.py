"""Whether probabilities mean what they say: bins, and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]


@dataclass(frozen=True)
class Calibration:
    """Bins of equal width over [0, 1]: in each, what was forecast and what came true.

    `forecast` and `observed` are means, NaN in an empty bin; `share` is the bin's part of all
    rows, by weight.
    """

    edges: Floats
    forecast: Floats
    observed: Floats
    share: Floats

    @property
    def expected_error(self) -> float:
        """The mean distance of forecast and observed, each bin by its share.

        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
        binning", AAAI 2015.
        """
        import numpy as np

        distance = np.abs(self.forecast - self.observed)
        return float(np.sum(np.where(self.share > 0, distance * self.share, 0.0)))


def calibration(hits: Floats, forecast: Floats, weights: Floats | None, bins: int) -> Calibration:
    """How often rows were hits, in `bins` bins of what was forecast for them."""
    import numpy as np

    place = np.minimum((forecast * bins).astype(np.int64), bins - 1)
    weight = np.ones(len(forecast)) if weights is None else weights
    total = np.bincount(place, weight, bins)
    filled = total > 0
    blank = np.full(bins, np.nan)

    def mean(values: Floats) -> Floats:
        sums = np.bincount(place, weight * values, bins)
        means: Floats = np.divide(sums, total, out=blank.copy(), where=filled)
        return means

    return Calibration(np.linspace(0, 1, bins + 1), mean(forecast), mean(hits), total / total.sum())
