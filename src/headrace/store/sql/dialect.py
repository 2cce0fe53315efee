"""What SQLite and PostgreSQL do differently. Nothing else in the package asks which one it is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from headrace.errors import HeadraceError, Unavailable
from headrace.store.sql import forks

Point = tuple[int, int, int, int, float]
"""A point of a metric as it is stored: run, key, step, timestamp, value."""

LOCK_TIMEOUT_S = 120.0
"""How long a write waits for other processes on the same SQLite file."""
_MIGRATION_LOCK = 0x48656164
_LATEST_WINS = (
    "(excluded.step, excluded.timestamp, excluded.value) > (l.step, l.timestamp, l.value)"
)


class Dialect(Protocol):
    """What the rest of the package needs of a database, beyond what SQLAlchemy evens out."""

    name: str
    begin_read: str
    one_writer: bool
    """Whether the write lock keeps all other processes from writing."""

    takes_arrays: bool
    """Whether a list can be bound as an array, so that many rows are one statement."""

    has_statistics: bool
    """Whether searches are planned by statistics that somebody must refresh."""

    def __hash__(self) -> int: ...

    def create_engine(self, url: sa.URL) -> sa.Engine:
        """Make an engine whose connections are durable; it opens nothing yet."""
        ...

    def begin_write(self, cursor: Any) -> None:
        """Begin a transaction that will write."""
        ...

    def begin_migration(self, connection: sa.Connection) -> None:
        """Begin a transaction in which no other process changes the schema."""
        ...

    def insert_points(self, cursor: Any, points: Sequence[Point]) -> None:
        """Add points; those that are there already are passed over."""
        ...

    def upsert_latest(self, cursor: Any, points: Sequence[Point]) -> None:
        """Make points the latest where they are; at most one for each (run, key)."""
        ...

    def insert(self, table: sa.Table) -> Any:
        """Build an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        ...

    def any_of(self, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
        """`column` is one of the list bound as `name`, in a statement of one fixed shape."""
        ...

    def list_value(self, values: Sequence[Any]) -> Any:
        """What to bind for a list in `any_of`."""
        ...

    def like(
        self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool
    ) -> sa.ColumnElement[bool]:
        """LIKE with '%' and '_' and no escape, minding case unless told not to."""
        ...

    def metric_value(self, value: float) -> Any:
        """A metric's value as the driver stores it."""
        ...

    def analyze(self, cursor: Any) -> None:
        """Refresh the statistics by which searches are planned, if there are any."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Whether another transaction got in the way, so that trying again may work."""
        ...

    def translate(self, error: BaseException) -> HeadraceError | None:
        """The error to raise for a driver's error that is nobody's mistake; None if unknown."""
        ...


class SqliteDialect:
    """SQLite in WAL mode, fsync on every commit, one writer at a time across processes."""

    name = "sqlite"
    begin_read = "BEGIN"
    one_writer = True
    takes_arrays = False
    has_statistics = False

    def create_engine(self, url: sa.URL) -> sa.Engine:
        """Make an engine; BEGIN and COMMIT are ours, the driver adds none."""
        engine = sa.create_engine(
            url,
            poolclass=sa.pool.NullPool,
            connect_args={"check_same_thread": False, "timeout": LOCK_TIMEOUT_S},
        )
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def begin_write(self, cursor: Any) -> None:
        """Take the write lock at once: a lock taken later could fail in the middle."""
        cursor.execute("BEGIN IMMEDIATE")

    def begin_migration(self, connection: sa.Connection) -> None:
        """Take the write lock."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def insert_points(self, cursor: Any, points: Sequence[Point]) -> None:
        """Add points, many to a statement."""
        head = "INSERT OR IGNORE INTO metrics (run, key, step, timestamp, value) VALUES "
        _execute_rows(cursor, head, "", points)

    def upsert_latest(self, cursor: Any, points: Sequence[Point]) -> None:
        """Upsert points, many to a statement; the row values compare as they sort."""
        head = "INSERT INTO latest_metrics AS l (run, key, step, timestamp, value) VALUES "
        tail = (
            " ON CONFLICT (run, key) DO UPDATE SET step = excluded.step,"
            " timestamp = excluded.timestamp, value = excluded.value WHERE " + _LATEST_WINS
        )
        _execute_rows(cursor, head, tail, points)

    def insert(self, table: sa.Table) -> Any:
        """Build SQLite's INSERT."""
        return sqlite.insert(table)

    def any_of(self, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
        """`column IN (SELECT value FROM json_each(:name))`."""
        values = sa.func.json_each(sa.bindparam(name)).table_valued("value")
        return column.in_(sa.select(values.c.value))

    def list_value(self, values: Sequence[Any]) -> Any:
        """The list as JSON."""
        import msgspec

        return msgspec.json.encode(list(values)).decode()

    def like(
        self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool
    ) -> sa.ColumnElement[bool]:
        """GLOB, which minds case, or LIKE, which does not (it folds the letters A to Z only)."""
        if ignore_case:
            return column.op("LIKE", is_comparison=True)(sa.bindparam(None, pattern, sa.Text))
        return column.op("GLOB", is_comparison=True)(sa.bindparam(None, _glob(pattern), sa.Text))

    def metric_value(self, value: float) -> Any:
        """NaN as the text that stands for it."""
        return value if value == value else "NaN"  # noqa: PLR0124 - only NaN differs from itself

    def analyze(self, cursor: Any) -> None:
        """Nothing to do: searches are written so that SQLite plans them well without."""

    def is_conflict(self, error: BaseException) -> bool:
        """Never: the write lock is taken first."""
        return False

    def translate(self, error: BaseException) -> HeadraceError | None:
        """A full disk, a lock held too long, a file that went away or is broken."""
        if isinstance(error, (sqlite3.OperationalError, sqlite3.DatabaseError)):
            text = str(error).lower()
            if "full" in text or "disk i/o" in text:
                return Unavailable(
                    "The disk under the database is full or failing. Nothing of this request "
                    "was stored; free some space and send it again."
                )
            if "locked" in text or "busy" in text:
                return Unavailable(
                    f"The database was locked by another process for {LOCK_TIMEOUT_S:.0f} s. "
                    "Nothing of this request was stored; send it again."
                )
            if "unable to open" in text or "readonly" in text:
                return Unavailable(
                    "The database file cannot be opened for writing. Check that its folder "
                    "exists and that this user may write there."
                )
            if "malformed" in text or "not a database" in text:
                return Unavailable(
                    "The database file is not a healthy SQLite database. "
                    "'headrace db check' says more; restore a backup if it is damaged."
                )
        return None


_IS_OURS = "SELECT max(name = 'headrace_schema') FROM sqlite_master WHERE type = 'table'"
"""1 for a database of Headrace, 0 for one of another program, NULL for an empty one."""


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    ours = connection.execute(_IS_OURS).fetchone()[0]
    if ours == 0:
        # Another program's database, which will be refused: not even its journal is changed.
        return
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # Turning WAL on needs the file alone, and does not wait for it by itself.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 2000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -8000")
    connection.execute("PRAGMA temp_store = MEMORY")


def _glob(pattern: str) -> str:
    """A LIKE pattern as GLOB writes it."""
    special = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(special.get(character, character) for character in pattern)


_CHUNKS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
_ROWS = {size: ",".join(["(?,?,?,?,?)"] * size) for size in _CHUNKS}


def _execute_rows(cursor: Any, head: str, tail: str, points: Sequence[Point]) -> None:
    """Run one statement over many rows, in few sizes so that each is prepared only once.

    One step of a statement of many rows gives the interpreter's lock away once; executemany
    gives it away once a row, and then waits for the event loop to hand it back.
    """
    at = 0
    for size in _CHUNKS:
        while len(points) - at >= size:
            flat = [field for point in points[at : at + size] for field in point]
            cursor.execute(f"{head}{_ROWS[size]}{tail}", flat)
            at += size


_UPSERT_LATEST_ARRAYS = (
    "INSERT INTO latest_metrics AS l (run, key, step, timestamp, value) SELECT * FROM unnest("
    "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[])"
    " ON CONFLICT (run, key) DO UPDATE SET step = excluded.step,"
    " timestamp = excluded.timestamp, value = excluded.value"
    " WHERE (excluded.step, excluded.timestamp, excluded.value) > (l.step, l.timestamp, l.value)"
)


class PostgresqlDialect:
    """PostgreSQL 14 and newer, by psycopg 3."""

    name = "postgresql"
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    one_writer = False
    takes_arrays = True
    has_statistics = True

    def create_engine(self, url: sa.URL) -> sa.Engine:
        """Make an engine; commits wait for the write-ahead log's fsync."""
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        sa.event.listen(engine, "connect", _prepare_postgresql)
        return engine

    def begin_write(self, cursor: Any) -> None:
        """Begin."""
        cursor.execute("BEGIN")

    def begin_migration(self, connection: sa.Connection) -> None:
        """Begin, and wait until no other process migrates."""
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

    def insert_points(self, cursor: Any, points: Sequence[Point]) -> None:
        """Add points in one statement, from five arrays."""
        cursor.execute(
            "INSERT INTO metrics (run, key, step, timestamp, value) SELECT * FROM unnest("
            "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[])"
            " ON CONFLICT DO NOTHING",
            _columns(points),
        )

    def upsert_latest(self, cursor: Any, points: Sequence[Point]) -> None:
        """Upsert in the order of (run, key), so that two writers never wait for each other."""
        cursor.execute(_UPSERT_LATEST_ARRAYS, _columns(points))

    def insert(self, table: sa.Table) -> Any:
        """Build PostgreSQL's INSERT."""
        return postgresql.insert(table)

    def any_of(self, column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
        """`column = ANY(:name)`."""
        array = sa.bindparam(name, type_=postgresql.ARRAY(column.type))
        return column == sa.any_(array)

    def list_value(self, values: Sequence[Any]) -> Any:
        """The list."""
        return list(values)

    def like(
        self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool
    ) -> sa.ColumnElement[bool]:
        """LIKE or ILIKE; a backslash is a character like any other."""
        text = sa.bindparam(None, pattern.replace("\\", "\\\\"), sa.Text)
        return column.ilike(text) if ignore_case else column.like(text)

    def metric_value(self, value: float) -> Any:
        """The value itself."""
        return value

    def analyze(self, cursor: Any) -> None:
        """ANALYZE what searches look at: a sample of each table, a fraction of a second."""
        cursor.execute("ANALYZE runs, keys, latest_metrics, params, tags")

    def is_conflict(self, error: BaseException) -> bool:
        """A deadlock, a failed serialization, or a row that another transaction made first."""
        import psycopg

        return isinstance(
            error, (psycopg.errors.TransactionRollback, psycopg.errors.UniqueViolation)
        )

    def translate(self, error: BaseException) -> HeadraceError | None:
        """A lost connection, a server that is starting or stopping, a full disk."""
        import psycopg

        if isinstance(error, psycopg.errors.DiskFull):
            return Unavailable(
                "The disk under PostgreSQL is full. Nothing of this request was stored; free "
                "some space and send it again."
            )
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return Unavailable(
                "PostgreSQL cannot be reached or broke the connection. Send the request again; "
                "if this goes on, check that the database server runs."
            )
        return None


def _columns(points: Sequence[Point]) -> list[list[Any]]:
    return [list(column) for column in zip(*points, strict=True)]


def _prepare_postgresql(connection: Any, _record: object) -> None:
    connection.autocommit = True
    forks.note(connection)


def dialect_for(url: sa.URL) -> Dialect:
    """The dialect of a database URL whose backend is known to be supported."""
    return SqliteDialect() if url.get_backend_name() == "sqlite" else PostgresqlDialect()
