"""The shared contract through a real server and the store that speaks to it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.testing.store import StoreContract
from tests.fixtures.servers import ServerLauncher


@pytest.fixture(scope="module")
def served_store(start_shared_server: ServerLauncher) -> Iterator[Store]:
    """One server for all tests of this file."""
    store = open_store(start_shared_server().url)
    yield store
    store.close()


class TestStoreOverHttp(StoreContract):
    @pytest.fixture
    def store(self, served_store: Store) -> Store:
        return served_store
