"""Data sets in pandas tables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.data.columns import Column
from headrace.data.dataset import Dataset, check_column
from headrace.data.dataset_source import DatasetSource, resolve_source
from headrace.data.digests import table_digest
from headrace.data.pandas_columns import index_columns, table_columns
from headrace.data.profile import Profile
from headrace.data.table_profile import profile_of
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import os

    import pandas as pd


class PandasDataset(Dataset):
    """A pandas table: `df`, and the names of its columns of targets and predictions."""

    def __init__(
        self,
        df: pd.DataFrame,
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
    def df(self) -> pd.DataFrame:
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
        return table_columns(self._df)

    def _compute_digest(self) -> str:
        return table_digest(len(self._df), self._columns, index_columns(self._df))

    def _compute_schema(self) -> dict[str, Any] | None:
        from headrace.data.pandas_schema import pandas_schema

        return pandas_schema(self._df)

    def _compute_profile(self) -> Profile:
        return profile_of(len(self._df), self._columns)


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
