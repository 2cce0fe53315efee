"""Which files a copy may reach: what a server says leads to no folder that nobody named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headrace.errors import InvalidRequest
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.sync.destination import Destination
from headrace.sync.store_source import StoreSource
from tests.fixtures.servers import ServerLauncher


@pytest.fixture
def store(sqlite_uri: str) -> Iterator[Store]:
    opened = open_store(sqlite_uri)
    yield opened
    opened.close()


def test_a_server_does_not_choose_what_is_read_here(store: Store, tmp_path: Path) -> None:
    inside = tmp_path / "files" / "1"
    inside.mkdir(parents=True)
    (tmp_path / "files" / "out").symlink_to(tmp_path)
    url = "http://127.0.0.1:9"
    named = StoreSource(store, "s", server=url, folder=tmp_path / "files")
    unnamed = StoreSource(store, "s", server=url)
    for uri in ("/etc", "file:///etc", str(tmp_path), str(inside), "s3://bucket/x"):
        assert unnamed.artifacts(uri) is None
    for uri in ("/etc", str(tmp_path), f"{tmp_path}/files/../x", f"{tmp_path}/files/out"):
        assert named.artifacts(uri) is None, uri
    for uri in (str(inside), inside.as_uri(), "mlflow-artifacts:/1"):
        assert named.artifacts(uri) is not None, uri
    with pytest.raises(InvalidRequest):
        named.artifacts("mlflow-artifacts:/../..")


def test_a_database_leads_to_its_own_folders(store: Store, tmp_path: Path) -> None:
    source = StoreSource(store, "d", folder=tmp_path)
    assert source.artifacts(str(tmp_path / "elsewhere")) is not None
    assert source.artifacts("mlflow-artifacts:/1") is not None
    assert source.artifacts("s3://bucket/x") is None


def test_a_server_does_not_choose_what_is_written_here(start_server: ServerLauncher) -> None:
    with closing(Destination(start_server().url)) as destination:
        assert destination.place("mlflow-artifacts:/1/r/artifacts").path == "1/r/artifacts"
        for uri in ("/home/me", "file:///home/me"):
            with pytest.raises(InvalidRequest, match="its own machine"):
                destination.place(uri)
