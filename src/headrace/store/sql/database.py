"""One database: connections to read on, and the one writer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from headrace.errors import HeadraceError, InvalidRequest, Unavailable
from headrace.store.sql.connection import Connection, SharedCache
from headrace.store.sql.dialect import Dialect, dialect_for
from headrace.store.sql.writer import Writer

MAX_READERS = 32
"""Connections that may read at once; PostgreSQL allows 100 in all unless told otherwise."""


class Database:
    """Connections of one process to one database. Safe for threads, and after a fork."""

    def __init__(self, url: sa.URL, artifact_root: str) -> None:
        self.url = url
        self.artifact_root = artifact_root
        self.dialect: Dialect = dialect_for(url)
        self.engine = self.dialect.create_engine(url)
        self._shared = SharedCache(self.engine)
        self.writer = Writer(self.connect, self.dialect)
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Connection] = []
        self._places = threading.BoundedSemaphore(MAX_READERS)

    def connect(self) -> Connection:
        """A new connection. Raises Unavailable, naming the database without its password."""
        try:
            return Connection(self.engine.connect(), self.dialect, self._shared)
        except sa.exc.DBAPIError as error:
            raise self.dialect.translate(error.orig or error) or Unavailable(
                f"The database {self.url.render_as_string()} cannot be opened."
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which all reads see the database at one moment."""
        if self._pid != os.getpid():
            # A connection must not be shared with the process that we were forked from.
            self._start_over()
        with self._places:
            connection = self._begin_reading()
            try:
                yield connection
                connection.cursor.execute("COMMIT")
            except HeadraceError:
                self._give_back(connection)
                raise
            except BaseException as error:
                self._give_back(connection)
                translated = self.dialect.translate(getattr(error, "orig", None) or error)
                if translated is None:
                    raise
                raise translated from error
            self._idle.append(connection)

    def _begin_reading(self) -> Connection:
        """An idle connection that still works, or a new one, within a transaction."""
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.cursor.execute(self.dialect.begin_read)
                return connection
            except Exception:  # noqa: BLE001 - the database hung up meanwhile, in whatever words
                connection.close()
        connection = self.connect()
        connection.cursor.execute(self.dialect.begin_read)
        return connection

    def _give_back(self, connection: Connection) -> None:
        """Keep a connection after an error if it still works."""
        try:
            connection.cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - whatever the driver says, this connection is no good
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Commit what is queued, then close every connection."""
        self.writer.close()
        while self._idle:
            self._idle.pop().close()
        self.engine.dispose()


def database_url(uri: str) -> sa.URL:
    """The URL of a database that Headrace can use. Raises InvalidRequest."""
    try:
        url = sa.make_url(uri)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InvalidRequest(
            "The database's address cannot be read. Expected 'sqlite:///FILE' or "
            "'postgresql://USER:PASSWORD@HOST/NAME'."
        ) from error
    backend = url.get_backend_name()
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise InvalidRequest(
                f"{uri!r} names no file. A database in memory would be gone with the process; "
                "expected 'sqlite:///FILE'."
            )
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        _require_psycopg()
        return url.set(drivername="postgresql+psycopg")
    raise InvalidRequest(
        f"Databases of the kind {backend!r} are not supported: use SQLite ('sqlite:///FILE') or "
        "PostgreSQL ('postgresql://…')."
    )


def _require_psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise Unavailable(
            "PostgreSQL needs the psycopg package: pip install 'headrace[postgresql]'."
        ) from error
    return psycopg
