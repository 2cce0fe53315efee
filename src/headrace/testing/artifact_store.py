"""What every ArtifactStore must do. Subclass the suite and give it a `store` fixture.

class TestMyStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self) -> ArtifactStore: ...  # empty, new for each test
"""

from __future__ import annotations

import hashlib
import random
import threading
import urllib.request

import pytest

from headrace.artifacts.base import ArtifactStore, Grant, Part, StoredFile, TakesParts
from headrace.errors import InvalidRequest, NotFound

MIB = 1 << 20


def put(store: ArtifactStore, path: str, content: bytes) -> StoredFile:
    """Write a whole file, in pieces of uneven size."""
    with store.write(path) as writer:
        for start in range(0, len(content), 700_001):
            writer.write(memoryview(content)[start : start + 700_001])
        return writer.commit()


def get(store: ArtifactStore, path: str, start: int = 0, length: int | None = None) -> bytes:
    """Read a file, or a part of it."""
    with store.read(path) as reader:
        return b"".join(reader.chunks(start, length))


def put_part(store: ArtifactStore, path: str, upload_id: str, number: int, content: bytes) -> Part:
    """Send one part the way a client does; the ETag it answers."""
    if isinstance(store, TakesParts):
        with store.write_part(path, upload_id, number) as writer:
            writer.write(content)
            return Part(number, f'"{writer.commit().sha256}"')
    signed = store.sign(Grant("PUT", path, upload_id, number), 600)
    request = urllib.request.Request(  # noqa: S310 - the URL comes from the store under test
        signed.url, content, signed.headers, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return Part(number, answer.headers["ETag"])


def bytes_of(length: int, seed: int = 0) -> bytes:
    """The same random bytes for the same arguments."""
    return random.Random(seed).randbytes(length)  # noqa: S311 - test data, not a secret


class ReadWriteContract:
    """Reading, writing, listing, deleting."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """An empty store; every subclass gives its own."""
        raise NotImplementedError

    @pytest.mark.parametrize("length", [0, 1, MIB, 3 * MIB + 17])
    def test_what_was_written_is_read(self, store: ArtifactStore, length: int) -> None:
        """Bytes, length, digest and ETag agree between writer and reader."""
        content = bytes_of(length)
        stored = put(store, "1/run/artifacts/weights.bin", content)
        assert stored.size == length
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        with store.read("1/run/artifacts/weights.bin") as reader:
            pieces = list(reader.chunks())
            assert (reader.size, reader.etag) == (length, stored.etag)
            assert reader.sha256 in (None, stored.sha256)
        assert b"".join(pieces) == content
        assert all(0 < len(piece) <= MIB for piece in pieces)
        assert stored.etag.startswith('"')
        assert stored.etag.endswith('"')

    def test_a_range_is_read(self, store: ArtifactStore) -> None:
        """Start and length are honoured; a length past the end stops at the end."""
        content = bytes_of(2 * MIB + 5)
        put(store, "f", content)
        assert get(store, "f", MIB - 3, 10) == content[MIB - 3 : MIB + 7]
        assert get(store, "f", 2 * MIB) == content[2 * MIB :]
        assert get(store, "f", 2 * MIB, 1000) == content[2 * MIB :]
        assert get(store, "f", 5, 0) == b""

    def test_a_file_is_seen_only_when_it_is_whole(self, store: ArtifactStore) -> None:
        """Before the commit there is the older file, or none."""
        with store.write("a/f") as writer:
            writer.write(b"new")
            with pytest.raises(NotFound):
                store.read("a/f")
            writer.commit()
        with store.write("a/f") as writer:
            writer.write(b"newer")
            assert get(store, "a/f") == b"new"
            writer.commit()
        assert get(store, "a/f") == b"newer"

    def test_an_aborted_file_leaves_nothing(self, store: ArtifactStore) -> None:
        """Abort, and leaving the block without a commit, drop what was written."""
        writer = store.write("a/f")
        writer.write(b"x")
        writer.abort()
        writer.abort()
        with store.write("b/f") as other:
            other.write(b"x")
        for path in ("a/f", "b/f"):
            with pytest.raises(NotFound):
                store.read(path)

    def test_a_wrong_digest_is_refused(self, store: ArtifactStore) -> None:
        """The older file stays as it was."""
        put(store, "f", b"old")
        with store.write("f") as writer:
            writer.write(b"damaged on the way")
            with pytest.raises(InvalidRequest, match="SHA-256"):
                writer.commit(hashlib.sha256(b"as sent").hexdigest())
        assert get(store, "f") == b"old"
        with store.write("f") as writer:
            writer.write(b"as sent")
            writer.commit(hashlib.sha256(b"as sent").hexdigest())
        assert get(store, "f") == b"as sent"

    def test_an_open_reader_keeps_its_version(self, store: ArtifactStore) -> None:
        """Replacing a file changes its ETag and disturbs nobody who reads it."""
        first = put(store, "f", b"1" * (2 * MIB))
        with store.read("f") as reader:
            pieces = reader.chunks()
            head = next(pieces)
            second = put(store, "f", b"2" * (2 * MIB))
            assert head + b"".join(pieces) == b"1" * (2 * MIB)
        assert first.etag != second.etag
        assert get(store, "f") == b"2" * (2 * MIB)

    def test_writers_at_once_leave_one_whole_file(self, store: ArtifactStore) -> None:
        """The last commit wins; pieces never mix."""
        contents = [bytes([n]) * (MIB + n) for n in range(6)]
        threads = [threading.Thread(target=put, args=(store, "d/f", c)) for c in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get(store, "d/f") in contents

    def test_missing_files(self, store: ArtifactStore) -> None:
        """NotFound, with the path in the message."""
        put(store, "a/f", b"x")
        for path in ("nothing", "a/nothing", "b/c/nothing"):
            with pytest.raises(NotFound, match=path):
                store.read(path)
            with pytest.raises(NotFound, match=path):
                store.delete(path)

    def test_a_folder_is_not_a_file(self, store: ArtifactStore) -> None:
        """Reading it is a mistake of the caller, not a missing file."""
        put(store, "a/b/f", b"x")
        with pytest.raises(InvalidRequest, match="folder"):
            store.read("a/b")

    def test_a_listing_is_sorted_and_one_level_deep(self, store: ArtifactStore) -> None:
        """Files have sizes, folders have none; a file or nothing lists as empty."""
        for path in ("r/b.txt", "r/a.txt", "r/a-dir/x", "r/a-dir/deep/y", "r2/z", "r/ü ñ.txt"):
            put(store, path, b"12345")
        found = [(info.path, info.is_dir, info.file_size) for info in store.list("r")]
        assert found == [
            ("a-dir", True, None),
            ("a.txt", False, 5),
            ("b.txt", False, 5),
            ("ü ñ.txt", False, 5),
        ]
        assert [info.path for info in store.list("")] == ["r", "r2"]
        assert list(store.list("r/b.txt")) == []
        assert list(store.list("r/nothing/at/all")) == []

    def test_deleting(self, store: ArtifactStore) -> None:
        """A file goes alone, a folder with all in it, names that begin alike stay."""
        for path in ("r/a/1", "r/a/b/2", "r/ab", "r/c"):
            put(store, path, b"x")
        store.delete("r/c")
        store.delete("r/a")
        assert [info.path for info in store.list("r")] == ["ab"]
        with pytest.raises(NotFound):
            store.read("r/a/b/2")
        put(store, "r/a/1", b"again")
        assert get(store, "r/a/1") == b"again"

    @pytest.mark.parametrize(
        "path", ["../f", "a/../f", "/etc/passwd", "a//b", "", "a/%2e%2e/b", "a\\b", ".headrace/f"]
    )
    def test_unsafe_paths_are_refused(self, store: ArtifactStore, path: str) -> None:
        """Even where the caller forgot to check."""
        for call in (store.read, store.write, store.delete):
            with pytest.raises(InvalidRequest):
                call(path)
        with pytest.raises(InvalidRequest):
            store.create_upload(path, 1)


class UploadContract:
    """Uploads in parts, and signed URLs."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """An empty store; every subclass gives its own."""
        raise NotImplementedError

    def test_parts_in_any_order_make_the_file(self, store: ArtifactStore) -> None:
        """Sent out of order, in parallel and one of them twice."""
        contents = [bytes_of(MIB + n, n) for n in range(1, 6)]
        upload_id = store.create_upload("r/big", 5)
        parts: dict[int, Part] = {}

        def send(number: int) -> None:
            content = contents[number - 1]
            parts[number] = put_part(store, "r/big", upload_id, number, content)

        threads = [threading.Thread(target=send, args=(n,)) for n in (3, 5, 1, 4, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(NotFound):
            store.read("r/big")
        ordered = [parts[n] for n in range(1, 6)]
        listed = store.list_parts("r/big", upload_id)
        assert [(part.number, part.etag) for part in listed] == [
            (part.number, part.etag) for part in ordered
        ]
        stored = store.complete_upload("r/big", upload_id, ordered)
        assert stored.size == sum(map(len, contents))
        assert get(store, "r/big") == b"".join(contents)
        assert [info.path for info in store.list("r")] == ["big"]

    def test_a_part_sent_again_replaces_the_first(self, store: ArtifactStore) -> None:
        """The ETags given at the end decide."""
        upload_id = store.create_upload("f", 2)
        put_part(store, "f", upload_id, 1, b"first try")
        one = put_part(store, "f", upload_id, 1, b"one")
        two = put_part(store, "f", upload_id, 2, b"two")
        store.complete_upload("f", upload_id, [one, two])
        assert get(store, "f") == b"onetwo"

    def test_completing_twice_is_completing_once(self, store: ArtifactStore) -> None:
        """A client that lost the answer asks again."""
        upload_id = store.create_upload("f", 1)
        parts = [put_part(store, "f", upload_id, 1, b"content")]
        first = store.complete_upload("f", upload_id, parts)
        assert store.complete_upload("f", upload_id, parts).size == first.size
        assert get(store, "f") == b"content"

    def test_wrong_parts_are_refused_and_can_be_mended(self, store: ArtifactStore) -> None:
        """Missing, out of order, wrong ETag: InvalidRequest, and the upload goes on."""
        upload_id = store.create_upload("f", 2)
        one = put_part(store, "f", upload_id, 1, b"one")
        with pytest.raises(InvalidRequest):
            store.complete_upload("f", upload_id, [one])
        wrong = Part(2, '"' + "0" * 64 + '"')
        with pytest.raises(InvalidRequest):
            store.complete_upload("f", upload_id, [one, wrong])
        two = put_part(store, "f", upload_id, 2, b"two")
        with pytest.raises(InvalidRequest):
            store.complete_upload("f", upload_id, [two, one])
        with pytest.raises(NotFound):
            store.read("f")
        store.complete_upload("f", upload_id, [one, two])
        assert get(store, "f") == b"onetwo"

    def test_an_aborted_upload_is_gone(self, store: ArtifactStore) -> None:
        """Aborting twice is harmless."""
        upload_id = store.create_upload("f", 1)
        part = put_part(store, "f", upload_id, 1, b"x")
        store.abort_upload("f", upload_id)
        store.abort_upload("f", upload_id)
        with pytest.raises(NotFound):
            store.complete_upload("f", upload_id, [part])
        with pytest.raises(NotFound):
            store.list_parts("f", upload_id)
        assert list(store.list("")) == []

    def test_signed_urls_differ_by_what_they_allow(self, store: ArtifactStore) -> None:
        """Another method, path, upload or part is another URL."""
        upload_id = store.create_upload("f", 2)
        grants = [
            Grant("GET", "f"),
            Grant("GET", "g"),
            Grant("PUT", "f", upload_id, 1),
            Grant("PUT", "f", upload_id, 2),
        ]
        assert len({store.sign(grant, 60).url for grant in grants}) == len(grants)


class ArtifactStoreContract(ReadWriteContract, UploadContract):
    """The whole contract."""
