"""A write transaction: what every write of a group shares."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, select

from headrace.errors import InvalidRequest, NotFound
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Point
from headrace.store.sql.statements import insert_ignoring

_RUN = select(t.runs.c.id, t.runs.c.experiment, t.runs.c.lifecycle_stage).where(
    t.runs.c.run_id == bindparam("run_id")
)
_KEY = select(t.keys.c.id).where(t.keys.c.name == bindparam("name"))

_PLACE = itemgetter(0, 1, 2, 3)

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

    def run_many(self, statement: Any, many: list[dict[str, Any]]) -> None:
        """Run a prepared write once for each set of values."""
        if many:
            self._writes += 1
            self.connection.run_many(statement, many)

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
        latest: dict[tuple[int, int], Point] = {}
        for point in points:
            key = point[:2]
            known = latest.get(key)
            if known is None or _recency(point) > _recency(known):
                latest[key] = point
        points.sort(key=_PLACE)
        ordered = [latest[key] for key in sorted(latest)]
        self._writes += 1
        self.dialect.insert_points(self.connection.cursor, points)
        self.dialect.upsert_latest(self.connection.cursor, ordered)


def _recency(point: Any) -> tuple[int, int, bool, float]:
    """What makes a point the latest: step, time, value, where NaN is above all numbers."""
    value = point[4]
    is_nan = value != value or value == "NaN"  # noqa: PLR0124 - only NaN differs from itself
    return point[2], point[3], is_nan, 0.0 if is_nan else value


def find_or_insert_key(connection: Connection | Transaction, name: str) -> int:
    """The number of a key, from the table of keys."""
    row = connection.one(_KEY, name=name)
    if row is None:
        connection.run(insert_ignoring(connection.dialect, t.keys), name=name)
        row = connection.one(_KEY, name=name)
    found: int = row[0]
    return found
