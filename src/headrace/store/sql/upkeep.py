"""A database as its keeper sees it: short transactions of our own, beside running servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from headrace.errors import Unavailable
from headrace.store.sql.database import database_url
from headrace.store.sql.dialect import dialect_for


class Upkeep:
    """Transactions on the database at `uri`, which must be there already.

    Raises InvalidRequest for an address that is none, Unavailable when it cannot be reached.
    """

    def __init__(self, uri: str) -> None:
        self.url = database_url(uri)
        self.dialect = dialect_for(self.url)
        self.engine = self.dialect.create_engine(self.url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection on which all reads see the database at one moment."""
        with self._connected() as connection:
            connection.exec_driver_sql(self.dialect.begin_read)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose writes are committed together at the end, or not at all."""
        with self._connected() as connection:
            self.dialect.begin_write(connection.connection.cursor())
            yield connection
            connection.exec_driver_sql("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection:
                # Leaving an open transaction behind rolls it back.
                yield connection
        except sa.exc.DBAPIError as error:
            name = self.url.render_as_string(hide_password=True)
            raise self.dialect.translate(error.orig or error) or Unavailable(
                f"The database {name} cannot be used: {error.orig}."
            ) from error

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
