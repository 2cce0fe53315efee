"""Reading a database of MLflow's, SQLite or PostgreSQL, without changing anything in it.

SQLite is opened read-only, and each query is a short one of its own: between two of them whoever
trains may write, and is never held up. PostgreSQL shows one moment of its data throughout, in a
transaction that it keeps from writing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from headrace.errors import HeadraceError, InvalidState, NotFound, Unavailable

Row = Sequence[Any]

_PATIENCE: Final = 60.0
"""Seconds to wait for another process that is writing to a SQLite file."""


class Rows(Protocol):
    """One open database. Safe for threads; queries name their parameters with `?`."""

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query. Unavailable, InvalidState for a damaged database."""
        ...

    def columns(self) -> list[Row]:
        """The names of each table and column, as pairs."""
        ...

    def close(self) -> None:
        """Let go of the database. May be called twice."""
        ...


class SqliteRows:
    """A SQLite file. Nothing is made beside it either, unless its last writer died.

    A file in WAL mode that is at rest is read as one that cannot change, because SQLite would
    leave two new files beside it; as soon as a writer comes, it is read like any other. Where a
    writer died and left a WAL, SQLite needs to make its index (`-shm`) to read it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._wal = file.with_name(file.name + "-wal")
        self._lock = threading.Lock()
        with self._translated():
            self._connect()

    def _connect(self) -> None:
        self._at_rest = _uses_wal(self._file) and not _has_content(self._wal)
        mode = "mode=ro&immutable=1" if self._at_rest else "mode=ro"
        self._connection = sqlite3.connect(
            f"file:{quote(str(self._file.absolute()))}?{mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection.text_factory = _text

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See Rows."""
        with self._lock, self._translated():
            if self._at_rest and _has_content(self._wal):
                self._connection.close()
                self._connect()
            return self._connection.execute(query, parameters).fetchall()

    def columns(self) -> list[Row]:
        """See Rows."""
        return self.all(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables "
            "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
        )

    def close(self) -> None:
        """See Rows."""
        with self._lock:
            self._connection.close()

    def _translated(self) -> _SqliteErrors:
        return _SqliteErrors(self._file)


class _SqliteErrors:
    """Turns what sqlite3 raises into an error for the person who copies."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise Unavailable(f"{self._file} cannot be read: {error.strerror}.") from error
        if isinstance(error, sqlite3.Error):
            raise _sqlite_error(self._file, error) from error


def _sqlite_error(file: Path, error: sqlite3.Error) -> HeadraceError:
    if file.with_name(file.name + "-journal").exists():
        return InvalidState(
            f"{file} cannot be read now: {error}. A process that wrote to it may have died half "
            "way. Open it once with the program that wrote it, so that it is repaired, and copy "
            "again."
        )
    if isinstance(error, sqlite3.OperationalError):
        return Unavailable(f"{file} cannot be read now: {error}.")
    return InvalidState(f"{file} cannot be read: {error}.")


def _text(stored: bytes) -> str:
    # A broken character must not make a page of runs unreadable.
    return stored.decode(errors="replace")


def _uses_wal(file: Path) -> bool:
    """Whether a SQLite file's header says that its changes go to a write-ahead log first."""
    with file.open("rb") as opened:
        return opened.read(20)[18:20] == b"\x02\x02"


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


class PostgresRows:
    """A PostgreSQL database, as it was at the first query."""

    def __init__(self, uri: str) -> None:
        self._psycopg = _psycopg()
        self._lock = threading.Lock()
        scheme, _, rest = uri.partition("://")
        address = f"{scheme.partition('+')[0]}://{rest}"
        try:
            self._connection = self._psycopg.connect(address)
            self._connection.read_only = True
            self._connection.isolation_level = self._psycopg.IsolationLevel.REPEATABLE_READ
            # Between two queries files are copied, which may take longer than a server allows.
            self._connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See Rows."""
        with self._lock:
            try:
                found = self._connection.execute(query.replace("?", "%s"), parameters)
                rows: list[Row] = found.fetchall()
            except self._psycopg.Error as error:
                raise self._translate(error) from error
            return rows

    def columns(self) -> list[Row]:
        """See Rows."""
        return self.all(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = ANY (current_schemas(false))"
        )

    def close(self) -> None:
        """See Rows."""
        with self._lock:
            self._connection.close()

    def _translate(self, error: Exception) -> HeadraceError:
        said = str(error).strip().partition("\n")[0].rstrip(".")
        if "does not exist" in said and "database" in said:
            return NotFound(f"PostgreSQL says: {said}.")
        return Unavailable(f"The database cannot be read: {said}.")


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise Unavailable(
            "PostgreSQL needs the psycopg package: pip install 'headrace[postgresql]'."
        ) from error
    return psycopg
