"""Data sets in Polars tables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.data.columns import Column
from headrace.data.dataset import Dataset, check_column
from headrace.data.dataset_source import DatasetSource, resolve_source
from headrace.data.digests import table_digest
from headrace.data.polars_columns import column_of, polars_schema
from headrace.data.profile import Profile
from headrace.data.table_profile import profile_of
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    import polars as pl


class PolarsDataset(Dataset):
    """A Polars table: `df`, and the names of its columns of targets and predictions."""

    def __init__(
        self,
        df: pl.DataFrame,
        source: DatasetSource,
        targets: str | None = None,
        name: str | None = None,
        digest: str | None = None,
        predictions: str | None = None,
    ) -> None:
        check_column("targets", targets, df.columns)
        check_column("predictions", predictions, df.columns)
        self._df = df
        self._targets = targets
        self._predictions = predictions
        super().__init__(source, name, digest)

    @property
    def df(self) -> pl.DataFrame:
        """The table."""
        return self._df

    @property
    def targets(self) -> str | None:
        """The column of targets."""
        return self._targets

    @property
    def predictions(self) -> str | None:
        """The column of predictions."""
        return self._predictions

    @cached_property
    def _columns(self) -> list[Column]:
        return [column_of(series) for series in self._df.iter_columns()]

    def _compute_digest(self) -> str:
        return table_digest(self._df.height, self._columns)

    def _compute_schema(self) -> dict[str, Any] | None:
        return polars_schema(self._df)

    def _compute_profile(self) -> Profile:
        return profile_of(self._df.height, self._columns)


def from_polars(
    df: pl.DataFrame,
    source: str | os.PathLike[str] | DatasetSource | None = None,
    targets: str | None = None,
    name: str | None = None,
    digest: str | None = None,
    predictions: str | None = None,
) -> PolarsDataset:
    """A data set of a Polars table; a LazyFrame must be collected first.

    `source` is a path, a URI or a source; without it, the code that calls. `targets` and
    `predictions` name columns. `digest` replaces the one that is computed over every value, column
    name and type. Needs NumPy. Raises InvalidRequest.
    """
    import polars as pl

    if not isinstance(df, pl.DataFrame):
        raise InvalidRequest(
            f"'df' is of type {type(df).__name__}: expected a Polars DataFrame; a LazyFrame "
            "becomes one by collect()."
        )
    return PolarsDataset(df, resolve_source(source), targets, name, digest, predictions)
