"""MLflow's tables, of any of its versions, as queries; what an older schema lacks is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from headrace.sync.mlflow_rows import Row, Rows
from headrace.sync.mlflow_values import DELETED, DELETED_STAGE

_VERSION_TABLE: Final = "alembic_version"
_REQUIRED: Final = {"experiments", "runs", "metrics", "params", "tags"}

LEFT_OUT: Final = {
    "traces": "trace_info",
    "assessments": "assessments",
    "evaluation data sets": "evaluation_datasets",
    "scorers": "scorers",
    "issues": "issues",
    "label schemas": "label_schemas",
    "review queues": "review_queues",
    "webhooks": "webhooks",
    "jobs": "jobs",
    "gateway endpoints": "endpoints",
    "gateway model definitions": "model_definitions",
    "gateway secrets": "secrets",
    "guardrails": "guardrails",
    "budget policies": "budget_policies",
    "MCP servers": "mcp_servers",
}
"""What Headrace does not keep, and the table that MLflow counts it in."""


class MlflowTables:
    """The tables of one database, by the names that this version of MLflow gave them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._columns: dict[str, set[str]] = {}
        for table, column in rows.columns():
            self._columns.setdefault(table, set()).add(column)

    @property
    def are_mlflows(self) -> bool:
        """Whether this is a database of MLflow's at all."""
        return _VERSION_TABLE in self._columns and self._columns.keys() >= _REQUIRED

    def has(self, table: str) -> bool:
        """Whether this version has a table."""
        return table in self._columns

    def pick(self, table: str, *columns: str, default: str = "NULL") -> str:
        """Columns for a SELECT; one that this version lacks is `default`, an SQL literal."""
        known = self._columns.get(table, set())
        return ", ".join(
            f'{table}."{column}"' if column in known else default for column in columns
        )

    def workspace(self, table: str) -> str:
        """The column that names the workspace; MLflow had none before version 3.9."""
        return self.pick(table, "workspace", default="'default'")

    def select(self, table: str, columns: Sequence[str], rest: str, *parameters: Any) -> list[Row]:
        """Rows of one table; none where this version lacks it."""
        if not self.has(table):
            return []
        query = f"SELECT {self.pick(table, *columns)} FROM {table} {rest}"  # noqa: S608 - names are ours
        return self._rows.all(query, parameters)

    def pages(
        self, table: str, columns: Sequence[str], where: str, *parameters: Any, size: int
    ) -> Iterator[list[Row]]:
        """Rows of one table, `size` at a time, by the first of the columns, which is unlike in all
        rows that `where` holds for.
        """
        end = f"ORDER BY {columns[0]} LIMIT {size}"
        first = self.select(table, columns, f"WHERE {where} {end}", *parameters)

        def after(last: Row) -> list[Row]:
            rest = f"WHERE {where} AND {columns[0]} > ? {end}"
            return self.select(table, columns, rest, *parameters, last[0])

        return pages(size, first, after)

    def query(self, tables: Iterable[str], query: str, *parameters: Any) -> list[Row]:
        """Rows of a query over several tables; none where one of them is missing."""
        if not all(map(self.has, tables)):
            return []
        return self._rows.all(query, parameters)

    def count(self, table: str, where: str = "", *parameters: Any) -> int:
        """How many rows of a table there are."""
        if not self.has(table):
            return 0
        query = f"SELECT count(*) FROM {table} {where}"  # noqa: S608 - names are ours
        return int(self._rows.all(query, parameters)[0][0])

    def left_out(self) -> dict[str, int]:
        """How much there is of each kind that is not copied, without those there is none of."""
        counts = {kind: self.count(table) for kind, table in LEFT_OUT.items()}
        counts["deleted logged models"] = self.count(
            "logged_models", "WHERE lifecycle_stage = ?", DELETED
        )
        counts["deleted model versions"] = self.count(
            "model_versions", "WHERE current_stage = ?", DELETED_STAGE
        )
        return {kind: count for kind, count in counts.items() if count}

    def close(self) -> None:
        """Let go of the database."""
        self._rows.close()


def marks(values: Sequence[Any]) -> str:
    """The placeholders of an IN list for these values."""
    return ", ".join("?" * len(values))


def grouped(rows: Iterable[Row]) -> dict[Any, list[Row]]:
    """Rows by their first column, without it."""
    groups: dict[Any, list[Row]] = {}
    for first, *rest in rows:
        groups.setdefault(first, []).append(rest)
    return groups


def pages(size: int, first: list[Row], after: Callable[[Row], list[Row]]) -> Iterator[list[Row]]:
    """`first`, and then the pages that `after(last row of the one before)` gives."""
    page = first
    while page:
        yield page
        if len(page) < size:
            return
        page = after(page[-1])
