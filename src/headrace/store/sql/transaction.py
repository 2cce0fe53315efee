"""A write transaction: what every write of a group shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import InvalidRequest, NotFound
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect, Point
from headrace.store.sql.statements import insert_arrays, insert_ignoring, select_any, upsert

# Where several servers write, a run is held by the one whose transaction writes to it. A group
# takes all its runs at once and in one order, so that two groups never wait for each other.
_RUN = (
    select(t.runs.c.id, t.runs.c.experiment, t.runs.c.lifecycle_stage)
    .where(t.runs.c.run_id == bindparam("run_id"))
    .with_for_update()
)
_KEY = select(t.keys.c.id).where(t.keys.c.name == bindparam("name"))

MAX_KEY_IDS = 100_000
"""Numbers of keys that a writer remembers: some 15 MB."""

Mark = tuple[int, int]


class Transaction:
    """Reads see what the transaction has written so far, except points of metrics.

    Points wait in memory and are written together, last: one statement for all requests of a
    group. `mark` and `untouched_since` tell whether a request has changed anything.
    """

    def __init__(
        self,
        connection: Connection,
        key_ids: dict[str, int],
        intern: Callable[[Transaction, str], int],
    ) -> None:
        self.connection = connection
        self._intern = intern
        self.dialect = connection.dialect
        self._key_ids = key_ids
        self._points: list[Point] = []
        self._writes = 0
        self._runs: dict[str, Any] = {}

    def mark(self) -> Mark:
        """Where the transaction is now."""
        return self._writes, len(self._points)

    def untouched_since(self, mark: Mark) -> bool:
        """Whether nothing was written since `mark`; drops points that were only noted."""
        del self._points[mark[1] :]
        return self._writes == mark[0]

    def rows(self, statement: Any, **values: Any) -> list[Any]:
        """All rows of a prepared SELECT."""
        return self.connection.rows(statement, **values)

    def one(self, statement: Any, **values: Any) -> Any:
        """The first row of a prepared SELECT, or None."""
        return self.connection.one(statement, **values)

    def run(self, statement: Any, **values: Any) -> int:
        """Run a prepared write; returns how many rows it changed."""
        count = self.connection.run(statement, **values)
        if count:
            self._writes += 1
        return count

    def run_returning(self, statement: Any, **values: Any) -> Any:
        """Run a prepared write with RETURNING; returns its first row, or None."""
        self._writes += 1
        return self.connection.one(statement, **values)

    def put(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows; one whose primary key is there already is overwritten."""
        self._put(table, rows, overwrite=True)

    def put_new(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows; one whose primary key is there already stays as it is."""
        self._put(table, rows, overwrite=False)

    def _put(self, table: sa.Table, rows: list[dict[str, Any]], *, overwrite: bool) -> None:
        if not rows:
            return
        self._writes += 1
        if self.dialect.takes_arrays:
            arrays = {name: [row[name] for row in rows] for name in rows[0]}
            self.connection.run(insert_arrays(table, overwrite), **arrays)
        else:
            build = upsert if overwrite else insert_ignoring
            self.connection.run_many(build(self.dialect, table), rows)

    def expect_runs(self, run_ids: list[str]) -> None:
        """Look up, and hold, the runs that a group will write to, all at once."""
        ids = self.dialect.list_value(run_ids)
        for run_id, *row in self.rows(_runs_among(self.dialect), ids=ids):
            self._runs[run_id] = row

    def find_run(self, run_id: str) -> Any:
        """(id, experiment, lifecycle_stage) of a run. Raises NotFound."""
        row = self._runs.get(run_id)
        if row is None:
            row = self.one(_RUN, run_id=run_id)
            if row is None:
                raise NotFound(f"Run '{run_id}' not found.")
            self._runs[run_id] = row
        return row

    def find_active_run(self, run_id: str) -> Any:
        """(id, experiment, lifecycle_stage) of a run that may be written."""
        row = self.find_run(run_id)
        if row[2] != "active":
            raise InvalidRequest(f"The run '{run_id}' is deleted; restore it before writing to it.")
        return row

    def forget_runs(self) -> None:
        """Look runs up again: their stage of life has changed."""
        self._runs.clear()

    def key_id(self, name: str) -> int:
        """The number of a key, made if it is new."""
        found = self._key_ids.get(name)
        if found is None:
            if len(self._key_ids) >= MAX_KEY_IDS:
                self._key_ids.clear()
            found = self._key_ids[name] = self._intern(self, name)
        return found

    def find_key(self, name: str) -> int | None:
        """The number of a key, None if nothing has this key yet."""
        found = self._key_ids.get(name)
        if found is None:
            row = self.one(_KEY, name=name)
            found = row[0] if row is not None else None
        return found

    def add_point(self, point: Point) -> None:
        """Note a point of a metric, to be written with the others."""
        self._points.append(point)

    def flush(self) -> None:
        """Write the points, and the latest of each (run, key), in one order for all writers."""
        if not self._points:
            return
        points, self._points = self._points, []
        if any(_is_nan(point[4]) for point in points):
            points.sort(key=_place_with_nan)
        else:
            points.sort()
        # Sorted by step, time and value, the last of each (run, key) is the latest.
        latest = {point[:2]: point for point in points}
        self._writes += 1
        self.dialect.insert_points(self.connection.cursor, points)
        self.dialect.upsert_latest(self.connection.cursor, list(latest.values()))


def _place_with_nan(point: Any) -> tuple[Any, ...]:
    """What points are sorted by where one is NaN, which is above all numbers."""
    *place, value = point
    return (*place, True, 0.0) if _is_nan(value) else (*place, False, value)


def _is_nan(stored: Any) -> bool:
    """Whether a stored value is NaN, in the form of either database."""
    return bool(stored == "NaN" or stored != stored)  # noqa: PLR0124 - NaN differs from itself


@cache
def _runs_among(dialect: Dialect) -> Any:
    c = t.runs.c
    columns = (c.run_id, c.id, c.experiment, c.lifecycle_stage)
    return select_any(dialect, columns, c.run_id, (c.id,)).with_for_update()


def find_or_insert_key(connection: Connection | Transaction, name: str) -> int:
    """The number of a key, from the table of keys."""
    row = connection.one(_KEY, name=name)
    if row is None:
        connection.run(insert_ignoring(connection.dialect, t.keys), name=name)
        row = connection.one(_KEY, name=name)
    found: int = row[0]
    return found
