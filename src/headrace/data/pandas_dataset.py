"""Data sets in pandas tables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.data.columns import Column
from headrace.data.dataset_source import DatasetSource, resolve_source
from headrace.data.digests import table_digest
from headrace.data.pandas_columns import index_columns, table_columns
from headrace.data.table_dataset import TableDataset
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    import pandas as pd


class PandasDataset(TableDataset["pd.DataFrame"]):
    """A pandas table: `df`, and the names of its columns of targets and predictions."""

    @cached_property
    def _columns(self) -> list[Column]:
        return table_columns(self._df)

    def _compute_digest(self) -> str:
        return table_digest(len(self._df), self._columns, index_columns(self._df))

    def _compute_schema(self) -> dict[str, Any] | None:
        from headrace.data.pandas_schema import pandas_schema

        return pandas_schema(self._df)


def from_pandas(
    df: pd.DataFrame,
    source: str | os.PathLike[str] | DatasetSource | None = None,
    targets: str | None = None,
    name: str | None = None,
    digest: str | None = None,
    predictions: str | None = None,
) -> PandasDataset:
    """A data set of a pandas table.

    `source` is a path, a URI or a source; without it, the code that calls. `targets` and
    `predictions` name columns. `digest` replaces the one that is computed over every value, column
    name and type, and over the index unless it is of integers without a name. Raises
    InvalidRequest.
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        raise InvalidRequest(f"'df' is of type {type(df).__name__}: expected a pandas DataFrame.")
    return PandasDataset(df, resolve_source(source), targets, name, digest, predictions)
