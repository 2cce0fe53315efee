"""Appending: nothing is lost, nothing out of order, whatever the disk does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Hashable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.journal import folder as layout
from headrace.journal import segment, writer
from headrace.journal.reader import JournalReader
from headrace.journal.writer import JournalWriter


def spell(name: Hashable) -> bytes:
    assert isinstance(name, str)
    return name.encode()


def read_all(folder: Path) -> list[tuple[bytes, bytes]]:
    reader = JournalReader(folder)
    assert reader.claim()
    found: list[tuple[bytes, bytes]] = []
    while records := reader.read():
        found += [(record.name, record.body) for record in records]
    assert reader.damage == ""
    reader.close()
    return found


NAMES = st.one_of(st.none(), st.text(max_size=40), st.sampled_from(["loss", "accuracy"]))
RECORDS = st.lists(st.tuples(NAMES, st.binary(max_size=600)), max_size=60)


@given(RECORDS, st.integers(64, 5000))
def test_what_is_appended_is_read_in_order(
    records: list[tuple[str | None, bytes]], size: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        log = JournalWriter([Path(place)], spell, size=size)
        folder = log.open()
        for name, body in records:
            log.append(body, name)
        assert read_all(folder) == [((name or "").encode(), body) for name, body in records]
        log.close()


def test_a_record_that_is_longer_than_a_segment(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell, size=256)
    bodies = [b"a", os.urandom(1 << 20), b"b", b"", os.urandom(300), b"c"]
    for body in bodies:
        log.append(body, "name")
    assert [body for _, body in read_all(log.open())] == bodies
    log.close()


def test_many_names_and_many_segments(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell, size=4096)
    expected = []
    for number in range(20_000):
        name = f"name {number % 700}"
        expected.append((name.encode(), number.to_bytes(4, "big")))
        log.append(expected[-1][1], name)
    assert len(list(layout.segment_files(log.open(), segment.SUFFIX))) > 100
    assert read_all(log.open()) == expected
    log.close()


def test_nothing_touches_the_disk_before_the_first_record(tmp_path: Path) -> None:
    opened: list[Path] = []
    log = JournalWriter([tmp_path / "place"], spell, opened=opened.append)
    assert not (tmp_path / "place").exists()
    assert log.mark().is_reached()
    log.append(b"x")
    assert opened == layout.writers(tmp_path / "place")
    assert opened[0].stat().st_mode & 0o777 == 0o700
    assert layout.is_locked(opened[0] / layout.ALIVE)
    log.close()
    assert not layout.is_locked(opened[0] / layout.ALIVE)
    log.append(b"y")  # after closing, a log of its own
    assert len(layout.writers(tmp_path / "place")) == len(opened) == 2
    log.close()


def test_a_name_that_cannot_be_spelled_raises_and_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    def picky(name: Hashable) -> bytes:
        if name == "bad":
            raise ValueError("no such name")
        return spell(name)

    log = JournalWriter([tmp_path], picky)
    log.append(b"1", "good")
    with pytest.raises(ValueError, match="no such name"):
        log.append(b"2", "bad")
    with pytest.raises(TypeError):
        log.append(b"3", [])  # type: ignore[arg-type]  # as programs do
    log.append(b"4", "good")
    assert read_all(log.open()) == [(b"good", b"1"), (b"good", b"4")]
    log.close()


def test_a_mark_is_reached_when_readers_have_dealt_with_it(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell)
    log.append(b"1")
    first = log.mark()
    log.append(b"2")
    second = log.mark()
    reader = JournalReader(log.open())
    assert reader.claim()
    one, two = reader.read()
    assert not first.is_reached()
    reader.acknowledge(one.end)
    assert first.is_reached()
    assert not second.is_reached()
    log.close()  # a mark knows the logs of before, too
    assert not log.mark().is_reached()
    reader.acknowledge(two.end)
    assert second.is_reached()
    assert log.mark().is_reached()
    reader.remove()
    assert second.is_reached()


def test_threads_append_side_by_side(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell, size=2048)

    def work(number: int) -> None:
        for count in range(2000):
            log.append(count.to_bytes(4, "big"), f"thread {number}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_all(log.open())
    for number in range(4):
        name = f"thread {number}".encode()
        counts = [int.from_bytes(body, "big") for named, body in found if named == name]
        assert counts == list(range(2000))
    log.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from headrace.journal.writer import JournalWriter
log = JournalWriter([Path(sys.argv[1])], lambda name: name.encode(), size=4096)
for number in range(5000):
    log.append(number.to_bytes(4, "big"), "n")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    (folder,) = layout.writers(tmp_path)
    found = [int.from_bytes(body, "big") for _, body in read_all(folder)]
    assert found == list(range(5000))
    assert not layout.is_locked(folder / layout.ALIVE)


@pytest.mark.parametrize("is_new", [False, True], ids=["known name", "new name"])
def test_an_interrupt_in_the_middle_of_a_call_leaves_a_log_that_goes_on(
    tmp_path: Path, is_new: bool
) -> None:
    """Ctrl-C may come after any instruction that calls something: the record is there or not."""
    log = JournalWriter([tmp_path], spell)
    log.append(b"first", "name")
    reader = JournalReader(log.open())
    assert reader.claim()
    read = [record.body for record in reader.read()]
    kept = 0
    for calls in range(1, 40):
        body = b"maybe" * calls
        with Interrupt(calls), suppress(KeyboardInterrupt):
            log.append(body, f"new {calls}" if is_new else "name")
        found = [record.body for record in reader.read()]
        assert found in ([], [body])
        kept += len(found)
        log.append(b"after", "name")
        assert [record.body for record in reader.read()] == [b"after"]
    assert read == [b"first"]
    assert kept > 0
    reader.close()
    log.close()


class Interrupt:
    """Raises KeyboardInterrupt when the n-th call into C inside `append` returns."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __enter__(self) -> None:
        sys.setprofile(self._seen)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _seen(self, frame: object, event: str, _: object) -> None:
        inside = frame.f_code.co_name in {"append", "_append_slowly", "_place", "_write"}  # type: ignore[attr-defined]  # a frame
        if event == "c_return" and inside:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)


@pytest.mark.usefixtures("no_pause")
def test_the_next_place_stands_in_for_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = JournalWriter([tmp_path / "file" / "below", tmp_path / "memory"], spell)
    log.append(b"x")
    assert log.open().parent == tmp_path / "memory"
    assert isinstance(log.trouble, NotADirectoryError)
    assert read_all(log.open()) == [(b"", b"x")]
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_without_a_place_records_are_held_and_move_there_in_order(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    log = JournalWriter([blocked / "journal"], spell)
    for number in range(10):
        log.append(b"%d" % number, f"name {number % 3}")
    assert log.held == 10
    assert isinstance(log.trouble, NotADirectoryError)
    assert not log.mark().is_reached()
    assert not log.settle()
    with pytest.raises(NotADirectoryError):
        log.open()
    blocked.unlink()
    log.append(b"10", "name 1")
    assert (log.held, str(log.trouble)) == (0, "None")
    found = read_all(log.open())
    assert [int(body) for _, body in found] == list(range(11))
    assert found[4][0] == b"name 1"
    assert log.lost == 0
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_settling_is_enough(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    log = JournalWriter([blocked / "journal"], spell)
    log.append(b"x", "name")
    blocked.unlink()
    assert log.settle()
    log.append(b"y", "name")
    assert read_all(log.open()) == [(b"name", b"x"), (b"name", b"y")]
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_what_is_held_is_bounded_and_what_did_not_fit_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = JournalWriter([tmp_path / "file" / "journal"], spell, held_bytes=2640)
    for _ in range(200):
        log.append(bytes(88))
    assert log.held == 10  # with what Python needs to hold them
    assert log.lost == 190


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    words = ["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.usefixtures("no_pause")
def test_a_disk_that_fills_up_and_empties_again(tmp_path: Path, small_disk: Path) -> None:
    """The log ends where there is no more room, and the next one begins elsewhere."""
    filler = small_disk / "filler"
    log = JournalWriter([small_disk, tmp_path / "memory"], spell, size=64 * 1024)
    expected = []
    for number in range(6000):
        expected.append((b"name %d" % (number % 5), os.urandom(200)))
        log.append(expected[-1][1], expected[-1][0].decode())
        if number == 1000:
            filler.write_bytes(bytes(400 * 1024))
    assert log.lost == log.held == 0
    first, second = layout.writers(small_disk), layout.writers(tmp_path / "memory")
    assert len(first) == len(second) == 1
    assert log.folder == second[0]
    assert not layout.is_locked(first[0] / layout.ALIVE)
    before = read_all(first[0])
    assert len(before) > 1000
    assert before + read_all(second[0]) == expected
    # Nothing half-made takes room there.
    left = {path.suffix or path.name for path in first[0].iterdir()}
    assert left == {".segment", layout.ALIVE, layout.CLAIMED, layout.PROGRESS}
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_a_full_disk_alone(small_disk: Path) -> None:
    filler = small_disk / "filler"
    log = JournalWriter([small_disk], spell, size=64 * 1024)
    expected = []
    for number in range(9000):
        expected.append(number.to_bytes(4, "big") + bytes(100))
        log.append(expected[-1], "name")
        if number == 100:
            filler.write_bytes(bytes(600 * 1024))
    assert log.held > 0
    assert log.trouble is not None
    assert log.trouble.errno == 28
    folders = layout.writers(small_disk)
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4M", str(small_disk)], check=True)
    assert log.settle()
    folders += [path for path in layout.writers(small_disk) if path not in folders]
    assert [body for path in folders for _, body in read_all(path)] == expected
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_a_record_too_long_for_the_disk_keeps_its_place_in_the_order(small_disk: Path) -> None:
    log = JournalWriter([small_disk], spell, size=64 * 1024)
    bodies = [b"first", os.urandom(2 << 20), b"second", b"third"]
    for body in bodies:
        log.append(body)
    assert log.held == 3
    subprocess.run(["mount", "-o", "remount,size=8M", str(small_disk)], check=True)
    assert log.settle()
    log.append(b"fourth")
    found = [body for path in by_age(small_disk) for _, body in read_all(path)]
    assert found == [*bodies, b"fourth"]
    log.close()


def by_age(place: Path) -> list[Path]:
    return sorted(layout.writers(place), key=lambda path: path.stat().st_ctime_ns)


def in_child(action: object) -> int:
    """The exit status of a forked child that runs `action`: 0 when nothing was raised."""
    child = os.fork()
    if not child:
        status = 1
        try:
            action()  # type: ignore[operator]  # a function
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_begins_a_log_of_its_own(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell)
    log.append(b"parent before", "name")
    ours = log.open()

    def child() -> None:
        assert log.folder is None
        assert log.mark().is_reached()
        log.append(b"child", "name")
        assert log.folder != ours

    assert in_child(child) == 0
    assert layout.is_locked(ours / layout.ALIVE)
    log.append(b"parent after", "name")
    assert log.folder == ours
    (theirs,) = (path for path in layout.writers(tmp_path) if path != ours)
    assert not layout.is_locked(theirs / layout.ALIVE)
    assert read_all(theirs) == [(b"name", b"child")]
    assert read_all(ours) == [(b"name", b"parent before"), (b"name", b"parent after")]
    log.close()


def test_a_fork_while_another_thread_holds_the_lock(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell)
    log.append(b"parent")
    with log._lock:
        assert in_child(lambda: log.append(b"child")) == 0
    log.append(b"parent again")
    assert sorted(len(read_all(folder)) for folder in layout.writers(tmp_path)) == [1, 2]
    log.close()


@pytest.mark.usefixtures("no_pause")
def test_a_fork_does_not_take_what_is_held_along(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    log = JournalWriter([blocked / "journal"], spell)
    log.append(b"held")

    def child() -> None:
        assert log.held == 0

    assert in_child(child) == 0
    assert log.held == 1
