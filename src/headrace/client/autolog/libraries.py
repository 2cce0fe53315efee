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
    "sklearn": Entry("sklearn", "headrace.client.autolog.sklearn"),
    "statsmodels": Entry("statsmodels", "headrace.client.autolog.statsmodels"),
}
