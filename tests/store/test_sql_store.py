"""The shared contract on SQLite and PostgreSQL, and what only a database can get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.testing.store import StoreContract


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """One store of each kind for all tests of this file."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/headrace.db"
        else:
            uri = stack.enter_context(request.getfixturevalue("postgres").new_database())
        store = open_store(uri)
        stack.callback(store.close)
        yield store


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, shared_store: Store) -> Store:
        return shared_store
