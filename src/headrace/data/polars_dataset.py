"""Data sets in Polars tables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.data.columns import Column
from headrace.data.dataset_source import DatasetSource, resolve_source
from headrace.data.digests import table_digest
from headrace.data.polars_columns import column_of, polars_schema
from headrace.data.table_dataset import TableDataset
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    import polars as pl


class PolarsDataset(TableDataset["pl.DataFrame"]):
    """A Polars table: `df`, and the names of its columns of targets and predictions."""

    @cached_property
    def _columns(self) -> list[Column]:
        return [column_of(series) for series in self._df.iter_columns()]

    def _compute_digest(self) -> str:
        return table_digest(len(self._df), self._columns)

    def _compute_schema(self) -> dict[str, Any] | None:
        return polars_schema(self._df)


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
