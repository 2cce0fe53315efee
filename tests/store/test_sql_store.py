"""The shared contract on SQLite and PostgreSQL, and what only a database can get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from headrace.protocol.registered_models import RegisteredModelRef, SetAlias
from headrace.protocol.wire import Tag
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.store.sql import tables as t
from headrace.store.sql.database import database_url
from headrace.testing.store import StoreContract
from headrace.testing.store_builders import new_registered_model, new_version


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


def test_a_deleted_registered_model_leaves_no_rows(database_uri: str) -> None:
    store = open_store(database_uri)
    name = new_registered_model(store, tags=[Tag("k", "v")])
    for _ in range(2):
        new_version(store, name, tags=[Tag("k", "v")])
    store.registered_models.set_alias(SetAlias(name, "a", "1"))
    store.registered_models.delete(RegisteredModelRef(name))
    store.close()
    engine = sa.create_engine(database_url(database_uri))
    with engine.connect() as connection:
        for table in (
            t.registered_models,
            t.registered_model_tags,
            t.registered_model_aliases,
            t.model_versions,
            t.model_version_tags,
        ):
            assert connection.execute(sa.select(table)).all() == [], table.name
    engine.dispose()
