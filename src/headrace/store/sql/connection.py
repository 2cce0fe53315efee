"""A connection on which prepared statements run at the driver's own speed.

Statements are written in SQLAlchemy Core, once, at module level. `Connection.rows` compiles
each a single time per database and hands text and values straight to the driver's cursor: on
paths that run thousands of times a second SQLAlchemy's own execution is most of the cost.
Searches, whose statements differ from call to call, use SQLAlchemy's as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from headrace.store.sql import tables as t
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.statements import select_any


@dataclass(frozen=True)
class Prepared:
    """A statement as text, with the order or the names of its values."""

    text: str
    positions: tuple[str, ...] | None
    defaults: dict[str, Any]

    def bind(self, values: dict[str, Any]) -> Any:
        """`values` in the form that the driver takes."""
        if self.defaults:
            values = {**self.defaults, **values}
        if self.positions is None:
            return values
        return [values[name] for name in self.positions]


MAX_KEY_NAMES = 100_000


class SharedCache:
    """What all connections to one database share: prepared statements, and names of keys."""

    def __init__(self, engine: sa.Engine) -> None:
        self.key_names: dict[int, str] = {}
        self._dialect = engine.dialect
        self._prepared: dict[Any, Prepared] = {}

    def get(self, statement: Any) -> Prepared:
        """The compiled form of a module-level statement or of one made by a cached function."""
        found = self._prepared.get(statement)
        if found is None:
            compiled = statement.compile(dialect=self._dialect)
            positions = tuple(compiled.positiontup) if compiled.positional else None
            defaults = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._prepared[statement] = Prepared(str(compiled), positions, defaults)
        return found


@cache
def _names(dialect: Dialect) -> Any:
    return select_any(dialect, (t.keys.c.id, t.keys.c.name), t.keys.c.id)


class Connection:
    """One open connection: for reading as it is, for writing within a `Transaction`."""

    def __init__(
        self,
        raw: sa.Connection,
        dialect: Dialect,
        shared: SharedCache,
    ) -> None:
        self.sql = raw
        self.dialect = dialect
        driver: Any = raw.connection.driver_connection
        self.driver = driver
        self.cursor = driver.cursor()
        self._shared = shared

    def rows(self, statement: Any, **values: Any) -> list[Any]:
        """All rows of a prepared SELECT (or of a write with RETURNING)."""
        prepared = self._shared.get(statement)
        self.cursor.execute(prepared.text, prepared.bind(values))
        found: list[Any] = self.cursor.fetchall()
        return found

    def one(self, statement: Any, **values: Any) -> Any:
        """The first row of a prepared SELECT, or None."""
        prepared = self._shared.get(statement)
        self.cursor.execute(prepared.text, prepared.bind(values))
        return self.cursor.fetchone()

    def run(self, statement: Any, **values: Any) -> int:
        """Run a prepared write; returns how many rows it changed."""
        prepared = self._shared.get(statement)
        self.cursor.execute(prepared.text, prepared.bind(values))
        count: int = self.cursor.rowcount
        return count

    def run_many(self, statement: Any, many: Sequence[dict[str, Any]]) -> None:
        """Run a prepared write once for each set of values."""
        if many:
            prepared = self._shared.get(statement)
            self.cursor.executemany(prepared.text, [prepared.bind(values) for values in many])

    def key_names(self, keys: Iterable[int]) -> dict[int, str]:
        """Names by number, at least of `keys`; a number never changes its name."""
        known = self._shared.key_names
        wanted = set(keys)
        missing = wanted - known.keys()
        if missing:
            if len(known) > MAX_KEY_NAMES:
                known, missing = {}, wanted
                self._shared.key_names = known
            ids = self.dialect.list_value(list(missing))
            known.update(self.rows(_names(self.dialect), ids=ids))
        return known

    def forget_key_names(self) -> None:
        """Ask for names again: some may be of keys whose transaction was rolled back."""
        self._shared.key_names = {}

    def close(self) -> None:
        """Close it for good, whatever state it is in."""
        self.sql.invalidate()
        self.sql.close()
