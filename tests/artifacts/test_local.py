"""Artifacts on local disk: the shared contract, and what only a disk can get wrong."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.local import LocalArtifactStore
from headrace.errors import InvalidRequest, InvalidState, NotFound, Unavailable
from headrace.testing.artifact_store import ArtifactStoreContract, get, put, put_part


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifactStore:
    return LocalArtifactStore(tmp_path / "root")


class TestLocalArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return LocalArtifactStore(tmp_path / "root")


def leftovers(store: LocalArtifactStore) -> list[str]:
    """What lies in the store's own folders besides the key."""
    return [
        str(Path(folder, name).relative_to(store.root))
        for folder, _, names in os.walk(store.root / ".headrace")
        for name in names
        if name != "signing.key"
    ]


def test_files_are_where_a_person_looks_for_them(store: LocalArtifactStore) -> None:
    put(store, "1/abc/artifacts/m.txt", b"hello")
    assert (store.root / "1/abc/artifacts/m.txt").read_bytes() == b"hello"
    assert leftovers(store) == []


def test_a_folder_cannot_become_a_file_nor_a_file_a_folder(store: LocalArtifactStore) -> None:
    put(store, "a/b/f", b"x")
    for path in ("a/b", "a"):
        with pytest.raises(InvalidRequest, match="is a folder"):
            store.write(path)
    with pytest.raises(InvalidRequest, match="leads through a file"):
        store.write("a/b/f/g")
    with pytest.raises(InvalidRequest, match="leads through a file"):
        store.create_upload("a/b/f/g", 1)
    assert leftovers(store) == []


def test_a_folder_made_meanwhile_stays(store: LocalArtifactStore) -> None:
    with store.write("a") as writer:
        writer.write(b"x")
        put(store, "a/f", b"y")
        with pytest.raises(InvalidRequest, match="is a folder"):
            writer.commit()
    assert get(store, "a/f") == b"y"
    assert leftovers(store) == []


def test_links_lead_nowhere(store: LocalArtifactStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    put(store, "r/f", b"x")
    (store.root / "r/link").symlink_to(outside)
    (store.root / "r/file-link").symlink_to(outside / "secret")
    for path in ("r/link/secret", "r/file-link"):
        with pytest.raises(InvalidRequest, match="link"):
            store.read(path)
    with pytest.raises(InvalidRequest, match="link"):
        store.write("r/link/new")
    with pytest.raises(InvalidRequest, match="link"):
        store.delete("r/link/secret")
    assert [info.path for info in store.list("r")] == ["f"]
    assert list(store.list("r/link")) == []
    put(store, "r/file-link", b"the link is replaced, not followed")
    store.delete("r/link")
    store.delete("r")
    assert (outside / "secret").read_text() == "secret"
    assert os.listdir(outside) == ["secret"]


def test_a_folder_swapped_for_a_link_in_the_middle_gains_nothing(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret")
    put(store, "d/f", b"inside")
    (store.root / "link").symlink_to(outside)
    place, link, aside = (str(store.root / name) for name in ("d", "link", "aside"))
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(place, aside)
            os.rename(link, place)
            os.rename(place, link)
            os.rename(aside, place)

    swapping = threading.Thread(target=swap)
    swapping.start()
    read = refused = 0
    deadline = time.monotonic() + 10
    try:
        while (read < 100 or refused < 100) and time.monotonic() < deadline:
            try:
                assert get(store, "d/f") == b"inside"
                assert [info.file_size for info in store.list("d")] in ([], [6])
                read += 1
            except (InvalidRequest, NotFound):
                refused += 1
    finally:
        stop.set()
        swapping.join()
    assert read >= 100
    assert refused >= 100
    assert os.listdir(outside) == ["f"]


def test_a_pipe_in_the_root_blocks_nobody(store: LocalArtifactStore) -> None:
    os.mkfifo(store.root / "pipe")
    with pytest.raises(NotFound):
        store.read("pipe")
    assert list(store.list("")) == []


def test_a_folder_deleted_during_a_write_is_made_again(store: LocalArtifactStore) -> None:
    put(store, "r/a/old", b"x")
    with store.write("r/a/new") as writer:
        writer.write(b"new")
        store.delete("r")
        writer.commit()
    assert get(store, "r/a/new") == b"new"


def test_files_arrive_while_their_folder_is_being_deleted(store: LocalArtifactStore) -> None:
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            with suppress(NotFound):
                store.delete("r")

    deleting = threading.Thread(target=delete)
    deleting.start()
    try:
        for _ in range(60):
            put(store, "r/a/b/c/f", b"x")
    finally:
        stop.set()
        deleting.join()
    put(store, "r/a/b/c/f", b"y")
    assert get(store, "r/a/b/c/f") == b"y"


def test_the_digest_is_forgotten_when_a_person_edits_the_file(store: LocalArtifactStore) -> None:
    stored = put(store, "f", b"12345")
    with store.read("f") as reader:
        if reader.sha256 is None:
            pytest.skip("this file system has no extended attributes")
        assert reader.sha256 == stored.sha256
    (store.root / "f").write_bytes(b"54321")
    with store.read("f") as reader:
        assert reader.sha256 is None
        assert reader.etag != stored.etag


def test_a_file_cut_short_during_a_read_is_said(store: LocalArtifactStore) -> None:
    put(store, "f", b"x" * 3_000_000)
    with store.read("f") as reader:
        pieces = reader.chunks()
        next(pieces)
        os.truncate(store.root / "f", 1_500_000)
        with pytest.raises(Unavailable, match="cut short"):
            list(pieces)


def test_local_uris(store: LocalArtifactStore) -> None:
    assert store.local_path(f"{store.root}/1/r") == "1/r"
    assert store.local_path(f"file://{store.root}/1/a%20b") == "1/a b"
    assert store.local_path(str(store.root)) == ""
    assert store.local_path(f"{store.root}/../x") is None
    assert store.local_path(f"{store.root}-other/x") is None
    assert store.local_path("s3://bucket/x") is None
    with pytest.raises(InvalidRequest):
        store.local_path(f"{store.root}/.headrace/signing.key")


def test_the_store_keeps_its_own_things_to_itself(store: LocalArtifactStore) -> None:
    assert list(store.list("")) == []
    assert stat.S_IMODE((store.root / ".headrace").stat().st_mode) == 0o700
    assert stat.S_IMODE((store.root / ".headrace/signing.key").stat().st_mode) == 0o600


def test_what_was_abandoned_is_swept(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path, abandoned_after=3600)
    idle = store.create_upload("idle", 1)
    put_part(store, "idle", idle, 1, b"x")
    done = store.create_upload("done", 1)
    store.complete_upload("done", done, [put_part(store, "done", done, 1, b"y")])
    store.write("crashed").write(b"half")
    assert store.sweep() == 0
    long_ago = time.time() - 7200
    for folder in ("tmp", "uploads"):
        for entry in os.scandir(tmp_path / ".headrace" / folder):
            os.utime(entry.path, (long_ago, long_ago))
    busy = store.create_upload("busy", 1)
    LocalArtifactStore(tmp_path, abandoned_after=3600)
    assert [Path(name).parent.name for name in leftovers(store)] == [busy]
    with pytest.raises(NotFound, match="abandoned"):
        store.list_parts("idle", idle)
    assert get(store, "done") == b"y"


def test_ids_and_numbers_of_uploads_are_checked(store: LocalArtifactStore) -> None:
    upload_id = store.create_upload("f", 2)
    for number in (0, 3, -1):
        with pytest.raises(InvalidRequest, match="part_number"):
            store.write_part("f", upload_id, number)
    with pytest.raises(InvalidRequest, match="was started for 'f'"):
        store.write_part("g", upload_id, 1)
    for wrong in ("../../etc", "", "x" * 32):
        with pytest.raises(InvalidRequest, match="upload_id"):
            store.write_part("f", wrong, 1)
        with pytest.raises(InvalidRequest, match="upload_id"):
            store.complete_upload("f", wrong, [])
    with pytest.raises(NotFound):
        store.write_part("f", "0" * 32, 1)
    for count in (0, 10_001):
        with pytest.raises(InvalidRequest, match="num_parts"):
            store.create_upload("f", count)


def test_a_part_that_comes_after_the_abort_is_refused(store: LocalArtifactStore) -> None:
    upload_id = store.create_upload("f", 1)
    with store.write_part("f", upload_id, 1) as writer:
        writer.write(b"late")
        store.abort_upload("f", upload_id)
        with pytest.raises(NotFound):
            writer.commit()
    assert leftovers(store) == []


def test_uploads_outlive_the_process(tmp_path: Path) -> None:
    before = LocalArtifactStore(tmp_path)
    upload_id = before.create_upload("f", 2)
    one = put_part(before, "f", upload_id, 1, b"one")
    after = LocalArtifactStore(tmp_path)
    two = put_part(after, "f", upload_id, 2, b"two")
    after.complete_upload("f", upload_id, [one, two])
    assert get(after, "f") == b"onetwo"
    assert before.complete_upload("f", upload_id, [one, two]).size == 6


FILL_THE_DISK = """
import os, sys
from headrace.artifacts.local import LocalArtifactStore
from headrace.errors import Unavailable
from headrace.testing.artifact_store import put, put_part
store = LocalArtifactStore(sys.argv[1])
put(store, "old", b"old" * 1000)
upload = store.create_upload("joined", 1)
part = put_part(store, "joined", upload, 1, bytes(2_000_000))
def refused(call):
    try:
        call()
    except Unavailable as error:
        assert "full" in error.message, error.message
        return
    raise SystemExit("nothing was refused")
refused(lambda: put(store, "old", bytes(4_000_000)))
refused(lambda: store.complete_upload("joined", upload, [part]))
assert os.listdir(store.root / ".headrace/tmp") == []
assert [(f.path, f.file_size) for f in store.list("")] == [("old", 3000)]
store.abort_upload("joined", upload)
put(store, "new", bytes(2_000_000))
print("recovered")
"""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 3 MB on `folder`."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("a small tmpfs cannot be mounted here: needs root and mount(8)")
    command = [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_root_must_be_one_file_system(store: LocalArtifactStore) -> None:
    (store.root / "other").mkdir()
    with small_disk(store.root / "other"), pytest.raises(InvalidState, match="another file system"):
        put(store, "other/f", b"x")
    assert leftovers(store) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        child = subprocess.run(
            [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "root")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert child.returncode == 0, child.stderr
    assert child.stdout == "recovered\n"


KILLED = """
import sys
from headrace.artifacts.local import LocalArtifactStore
writer = LocalArtifactStore(sys.argv[1]).write("f")
writer.write(b"new" * 100_000)
print("half", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_leaves_the_older_file(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path, abandoned_after=0)
    put(store, "f", b"old")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
    assert get(store, "f") == b"old"
    assert [info.path for info in store.list("")] == ["f"]
    assert store.sweep() == 1
    assert leftovers(store) == []


NAMES = st.sampled_from(["a", "b", "c", "a/x", "a/y", "b/x/deep", "c/x"])


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary, for any order of calls."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = LocalArtifactStore(self.folder.name)
        self.model: dict[str, bytes] = {}

    def below(self, path: str) -> list[str]:
        return [name for name in self.model if name == path or name.startswith(f"{path}/")]

    @rule(path=NAMES, content=st.binary(max_size=20))
    def write(self, path: str, content: bytes) -> None:
        is_folder = path not in self.model and self.below(path)
        through_file = any(path.startswith(f"{name}/") for name in self.model)
        if is_folder or through_file or self.emptied(path):
            with pytest.raises(InvalidRequest):
                put(self.store, path, content)
        else:
            put(self.store, path, content)
            self.model[path] = content

    def emptied(self, path: str) -> bool:
        """A folder whose files were all deleted is still a folder."""
        return (Path(self.folder.name) / path).is_dir()

    @rule(path=NAMES)
    def delete(self, path: str) -> None:
        gone = self.below(path)
        if not gone and not self.emptied(path):
            with pytest.raises((NotFound, InvalidRequest)):
                self.store.delete(path)
            return
        self.store.delete(path)
        for name in gone:
            del self.model[name]

    @invariant()
    def same(self) -> None:
        for path in ("a", "b", "c", "a/x", "b/x/deep"):
            if path in self.model:
                assert get(self.store, path) == self.model[path]
            else:
                with pytest.raises((NotFound, InvalidRequest)):
                    self.store.read(path)
        files = [info.path for info in self.store.list("a") if not info.is_dir]
        assert files == sorted(n[2:] for n in self.model if n.startswith("a/"))

    def teardown(self) -> None:
        self.folder.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestStoreModel = StoreMachine.TestCase
