from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from headrace.search import Dialect, Filter, OrderTerm
from headrace.store.sql.database import database_url
from headrace.store.sql.dialect import Dialect as Database
from headrace.store.sql.dialect import dialect_for
from headrace.store.sql.filters import DatasetRef
from headrace.store.sql.paging import Search
from headrace.store.sql.searchable import SEARCHABLE
from tests.store.searched import Rows, make_rows, search_plainly, store_rows


@dataclass
class SearchedDatabase:
    """A database, its rows as plain Python, and searches of both."""

    connection: sa.Connection
    database: Database
    rows: Rows

    def page(
        self, search: Search, dialect: Dialect, size: int, token: str | None = None
    ) -> tuple[list[Any], str | None]:
        """The ids on one page, and the token of the next."""
        columns = SEARCHABLE[dialect].identity
        statement = search.statement(self.database, columns, [], size, token)
        page, following = search.cut(self.connection.execute(statement).fetchall(), size)
        width = len(columns)
        return [row[0] if width == 1 else tuple(row[:width]) for row in page], following

    def pages(self, search: Search, dialect: Dialect, size: int) -> list[list[Any]]:
        """All pages of a search."""
        found, token = self.page(search, dialect, size)
        pages = [found]
        while token is not None:
            found, token = self.page(search, dialect, size, token)
            pages.append(found)
        return pages

    def check(
        self,
        dialect: Dialect,
        parsed: Filter,
        order: list[OrderTerm],
        datasets: list[DatasetRef] | None = None,
    ) -> list[Any]:
        """Search the database; the answer must be that of the plain search."""
        search = Search(dialect, parsed, order, datasets=datasets or ())
        found, token = self.page(search, dialect, 1000)
        assert token is None
        assert found == search_plainly(self.rows, dialect, parsed, order, datasets or ())
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def searched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchedDatabase]:
    """The small awkward database, read only, on each kind of database in turn."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            uri = f"sqlite:///{tmp_path_factory.mktemp('searched')}/headrace.db"
        else:
            uri = stack.enter_context(request.getfixturevalue("postgres").new_database())
        url = database_url(uri)
        database = dialect_for(url)
        connection = stack.enter_context(database.create_engine(url).connect())
        rows = make_rows()
        store_rows(connection, rows)
        yield SearchedDatabase(connection, database, rows)
