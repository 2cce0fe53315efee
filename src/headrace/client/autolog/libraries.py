"""The libraries that log themselves: what one imports, its flavor, and the file that observes it.

The file has a `LIBRARY` and a function `autolog`; see the package's docstring.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A row of the table: MLflow's name of the flavor, and our module."""

    flavor: str
    module: str


LIBRARIES: Final = {
    "keras": Entry("keras", "headrace.client.autolog.keras"),
    "lightgbm": Entry("lightgbm", "headrace.client.autolog.lightgbm"),
    "lightning": Entry("pytorch", "headrace.client.autolog.lightning"),
    "pytorch_lightning": Entry("pytorch", "headrace.client.autolog.lightning"),
    "sklearn": Entry("sklearn", "headrace.client.autolog.sklearn"),
    "statsmodels": Entry("statsmodels", "headrace.client.autolog.statsmodels"),
    "transformers": Entry("transformers", "headrace.client.autolog.transformers"),
    "xgboost": Entry("xgboost", "headrace.client.autolog.xgboost"),
}
