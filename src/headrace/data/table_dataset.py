"""What data sets in tables have in common, whatever library the tables are of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from headrace.data.columns import Column
from headrace.data.dataset import Dataset, check_column
from headrace.data.dataset_source import DatasetSource
from headrace.data.profile import Profile
from headrace.data.table_profile import profile_of


class _Table(Protocol):
    @property
    def columns(self) -> Any:
        """The names of its columns."""
        ...

    def __len__(self) -> int: ...


Table = TypeVar("Table", bound=_Table)


class TableDataset(Dataset, ABC, Generic[Table]):
    """A table: `df`, and the names of its columns of targets and predictions."""

    def __init__(
        self,
        df: Table,
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
    def df(self) -> Table:
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

    @property
    @abstractmethod
    def _columns(self) -> list[Column]:
        """Each of its columns, to be digested and summed up."""

    def _compute_profile(self) -> Profile:
        return profile_of(len(self._df), self._columns)
