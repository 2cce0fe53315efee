"""The client of the artifact proxy: the shared contract, against a real server, and its extras."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.artifacts import transfer
from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.http import HttpArtifactStore, HttpReader, file_target
from headrace.artifacts.local import LocalArtifactStore
from headrace.errors import InvalidRequest, NotFound, Unavailable
from headrace.protocol.server_info import ServerInfo
from headrace.testing.artifact_store import MIB, ArtifactStoreContract, bytes_of, get, put
from headrace.transport import Transport
from tests.server.artifact_server import ArtifactServer, serving
from tests.store.scripted_server import CUT, answer, scripted

CAN = ServerInfo("SqlStore", False, False, True, True, False, False, "0")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArtifactServer]:
    with serving(tmp_path / "artifacts") as running:
        yield running


@pytest.fixture
def store(server: ArtifactServer) -> Iterator[HttpArtifactStore]:
    transport = Transport(f"http://127.0.0.1:{server.port}", max_retries=0, timeout=20)
    http_store = HttpArtifactStore(transport)
    # What this server would say; it has no route for it.
    http_store._info = CAN
    yield http_store
    transport.close()


class TestHttpArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, server: ArtifactServer) -> Iterator[ArtifactStore]:
        transport = Transport(f"http://127.0.0.1:{server.port}", max_retries=0, timeout=20)
        yield HttpArtifactStore(transport)
        transport.close()

    def test_signed_urls_differ_by_what_they_allow(self, store: ArtifactStore) -> None:
        # A server signs downloads only of what is there.
        put(store, "f", b"f")
        put(store, "g", b"g")
        super().test_signed_urls_differ_by_what_they_allow(store)


@pytest.mark.parametrize("length", [0, 1, MIB, 2 * MIB + 3])
def test_files_go_there_and_back(store: HttpArtifactStore, tmp_path: Path, length: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes_of(length))
    transfer.upload_file(store, source, "a/b")
    transfer.download_file(store, "a/b", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob(".*.part"))


def test_large_files_travel_in_parts_and_ranges(
    store: HttpArtifactStore,
    server: ArtifactServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "PART", MIB)
    monkeypatch.setattr(transfer, "RANGE", MIB)
    asked: list[str] = []
    real_open = Transport.open

    def recording(self: Transport, method: str, target: str, **more: object) -> object:
        asked.append(f"{method} {target.partition('?')[0]}")
        return real_open(self, method, target, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(Transport, "open", recording)
    source = tmp_path / "source"
    source.write_bytes(bytes_of(5 * MIB + 7))
    transfer.upload_file(store, source, "a/large.bin", large=2 * MIB)
    assert sum("/artifacts/signed/part/" in line for line in asked) == 6
    transfer.download_file(store, "a/large.bin", tmp_path / "back", large=2 * MIB)
    assert sum("/artifacts/signed/file/" in line for line in asked) == 6
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert (server.root / "a" / "large.bin").read_bytes() == source.read_bytes()


def test_an_upload_in_parts_that_fails_leaves_nothing(
    store: HttpArtifactStore,
    server: ArtifactServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "PART", MIB)
    source = tmp_path / "source"
    source.write_bytes(bytes_of(3 * MIB))

    def cut(self: object) -> Iterator[bytes]:
        raise InvalidRequest("the disk was pulled out")

    monkeypatch.setattr("headrace.artifacts.http.FileSlice.__iter__", cut)
    with pytest.raises(InvalidRequest, match="pulled out"):
        transfer.upload_file(store, source, "a", large=MIB)
    assert store.list("") == []
    assert not list((server.root / ".headrace").glob("uploads/*/*"))


def test_folders_go_there_and_back(store: HttpArtifactStore, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "x/empty": b"", "x/y/ä é.bin": bytes(range(256))}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    transfer.upload_folder(store, tmp_path / "in", "models/m")
    assert sorted(transfer.walk(store, "models/m")) == sorted(files)
    where = tmp_path / "out" / "m"
    transfer.download_to(store, "models/m", where)
    assert {name: (where / name).read_bytes() for name in files} == files
    assert transfer.download(store, "models/m/a.txt", tmp_path / "one").name == "a.txt"
    assert (tmp_path / "one" / "a.txt").read_bytes() == b"a"
    with pytest.raises(NotFound):
        transfer.download(store, "models/none", tmp_path / "none")
    transfer.download_to(store, "models/none", tmp_path / "none", folder=True)
    assert list((tmp_path / "none").iterdir()) == []


def test_wrong_sources_are_refused(store: HttpArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        transfer.upload_file(store, tmp_path / "none", "a")
    with pytest.raises(NotFound, match="no folder"):
        transfer.upload_folder(store, tmp_path / "none", "a")
    with pytest.raises(InvalidRequest, match="folder"):
        transfer.upload_file(store, tmp_path, "a")


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = bytes_of(3 * MIB)
    begun = answer(200, content, ETag='"1"')[: -MIB + 100] + CUT
    rest = answer(206, content[2 * MIB :], ETag='"1"')
    with scripted(begun, rest) as server:
        store = HttpArtifactStore(Transport(server.url, max_retries=0))
        transfer.download_file(store, "f", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        assert "range: bytes=2097152-3145727" in server.heads[1].lower()
        assert 'if-range: "1"' in server.heads[1].lower()


def test_a_file_replaced_in_the_middle_is_not_mixed(tmp_path: Path) -> None:
    begun = answer(200, bytes(3 * MIB), ETag='"1"')[: -MIB + 100] + CUT
    with scripted(begun, answer(200, b"other", ETag='"2"')) as server:
        store = HttpArtifactStore(Transport(server.url, max_retries=0))
        with pytest.raises(InvalidRequest, match="replaced"):
            transfer.download_file(store, "f", tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


def test_damage_on_the_way_is_seen(tmp_path: Path) -> None:
    digest = "sha-256=:" + "A" * 43 + "=:"
    with scripted(answer(200, b"abc", Repr_Digest=digest)) as server:
        store = HttpArtifactStore(Transport(server.url, max_retries=0))
        with pytest.raises(Unavailable, match="damaged"):
            transfer.download_file(store, "f", tmp_path / "back")
        (tmp_path / "source").write_bytes(b"xyz")
        with pytest.raises(Unavailable, match="damaged"):
            transfer.upload_file(store, tmp_path / "source", "f")
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]


def test_an_upload_is_sent_again_whole_after_a_passing_fault(tmp_path: Path) -> None:
    content = bytes_of(3 * MIB)
    (tmp_path / "source").write_bytes(content)
    with scripted(answer(503), answer(200)) as server:
        transport = Transport(server.url, max_retries=1, pause=lambda _: None)
        transfer.upload_file(HttpArtifactStore(transport), tmp_path / "source", "f")
        assert [r.partition(b"\r\n\r\n")[2] == content for r in server.requests] == [True, True]


def test_a_server_that_says_nothing_of_itself_gets_whole_files(tmp_path: Path) -> None:
    with scripted(answer(404), answer(200)) as server:
        store = HttpArtifactStore(Transport(server.url, max_retries=0))
        assert not store.info().multipart_uploads_enabled
        (tmp_path / "source").write_bytes(b"x")
        transfer.upload_file(store, tmp_path / "source", "f", large=1)
        assert server.heads[1].startswith("PUT /api/2.0/mlflow-artifacts/artifacts/f ")


def test_memory_does_not_grow_with_the_file(store: HttpArtifactStore, tmp_path: Path) -> None:
    import tracemalloc

    source = tmp_path / "source"
    with open(source, "wb") as file:
        os.truncate(file.fileno(), 64 * MIB)
    tracemalloc.start()
    transfer.upload_file(store, source, "f")
    transfer.download_file(store, "f", tmp_path / "back")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Client and server are both in this process.
    assert peak < 32 * MIB


def test_the_local_store_takes_part_in_transfers(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path / "root")
    (tmp_path / "source").write_bytes(b"x")
    transfer.upload_file(store, tmp_path / "source", "a/b")
    transfer.download_file(store, "a/b", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"x"


def test_a_window_of_a_file(store: HttpArtifactStore) -> None:
    put(store, "f", bytes_of(1000))
    with HttpReader(store.transport, "f", file_target("f"), window=(10, 20)) as reader:
        assert b"".join(reader.chunks()) == bytes_of(1000)[10:20]
        assert b"".join(reader.chunks(2, 3)) == bytes_of(1000)[12:15]
    assert get(store, "f", 990) == bytes_of(1000)[990:]
