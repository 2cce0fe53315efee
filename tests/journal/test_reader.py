"""Reading on after any restart, letting go of what was dealt with, and surviving damage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.journal import folder as layout
from headrace.journal import segment
from headrace.journal.reader import JournalReader
from headrace.journal.writer import JournalWriter

BODIES = st.lists(st.binary(max_size=200), min_size=1, max_size=25)


def spell(name: Hashable) -> bytes:
    return str(name).encode()


def opened(folder: Path) -> JournalReader:
    reader = JournalReader(folder)
    assert reader.claim()
    return reader


def read_all(reader: JournalReader) -> list[bytes]:
    found: list[bytes] = []
    while records := reader.read():
        found += [record.body for record in records]
    return found


def segments(folder: Path) -> list[Path]:
    return list(layout.segment_files(folder, segment.SUFFIX))


def filled(place: Path, bodies: list[bytes], size: int = 256) -> JournalWriter:
    log = JournalWriter([place], spell, size=size)
    for number, body in enumerate(bodies):
        log.append(body, f"name {number % 4}")
    return log


@given(BODIES, st.integers(64, 2000))
def test_a_restart_at_every_position_reads_exactly_the_rest(bodies: list[bytes], size: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        log = filled(Path(place), bodies, size)
        reader = opened(log.open())
        ends: list[int] = []
        while records := reader.read():
            ends += [record.end for record in records]
        reader.close()
        for count, end in enumerate(ends, start=1):
            reader = opened(log.open())
            reader.acknowledge(end)
            assert read_all(reader) == bodies[count:]
            assert reader.acknowledged == end
            reader.close()
        log.close()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "read", "acknowledge", "rewind", "restart"]),
        st.integers(1, 500),
    ),
    max_size=60,
)


@given(ACTIONS, st.integers(64, 600))
def test_reading_and_acknowledging_in_any_pieces(actions: list[tuple[str, int]], size: int) -> None:
    """Restarts, rewinds and appends in between: each record is read, in order, until it is done."""
    with tempfile.TemporaryDirectory() as place:
        log = JournalWriter([Path(place)], spell, size=size)
        reader = opened(log.open())
        bodies: list[bytes] = []
        pending: list[tuple[int, bytes]] = []
        done = 0
        for action, number in [*actions, *[("read", 10_000)] * 70, ("acknowledge", 500)]:
            if action == "append":
                bodies.append(b"%d" % number * (number % 90))
                log.append(bodies[-1], f"name {number % 5}")
            elif action == "read":
                pending += [(record.end, record.body) for record in reader.read(number)]
                assert [body for _, body in pending] == bodies[done : done + len(pending)]
            elif action == "acknowledge" and pending:
                count = min(number, len(pending))
                reader.acknowledge(pending[count - 1][0])
                pending = pending[count:]
                done += count
            elif action in {"rewind", "restart"}:
                pending = []
                reader.rewind()
                if action == "restart":
                    reader.close()
                    reader = opened(log.open())
        assert (done, pending) == (len(bodies), [])
        assert reader.tail() == max(reader.acknowledged, 16)
        assert log.mark().is_reached()
        assert [end for _, end in log.mark().ends] == [reader.tail()] * bool(bodies)
        reader.close()
        log.close()


def test_segments_that_are_dealt_with_are_removed_and_no_others(tmp_path: Path) -> None:
    bodies = [os.urandom(40) for _ in range(200)]
    log = filled(tmp_path, bodies)
    reader = opened(log.open())
    count = len(segments(log.open()))
    assert count > 20
    records = []
    while found := reader.read():
        records += found
    assert len(segments(log.open())) == count  # reading alone removes nothing
    for record in records:
        reader.acknowledge(record.end)
        first = segments(log.open())[0]
        start = int(first.stem, 16)
        assert record.end <= start + first.stat().st_size
    assert len(segments(log.open())) == 1
    reader.acknowledge(5)  # going back is no progress
    assert reader.acknowledged == records[-1].end
    reader.close()
    log.close()


def test_what_was_dealt_with_before_a_restart_is_removed_too(tmp_path: Path) -> None:
    log = filled(tmp_path, [os.urandom(40) for _ in range(100)])
    reader = opened(log.open())
    found = []
    while records := reader.read():
        found += records
    reader.close()
    progress = layout.Progress(log.open())
    progress.position = found[60].end  # as when the reader died before it could remove anything
    progress.close()
    reader = opened(log.open())
    assert read_all(reader) == [record.body for record in found[61:]]
    assert int(segments(log.open())[0].stem, 16) <= found[60].end
    assert int(segments(log.open())[1].stem, 16) > found[60].end
    reader.close()
    log.close()


def test_one_reader_at_a_time(tmp_path: Path) -> None:
    log = filled(tmp_path, [b"x"])
    first, second = JournalReader(log.open()), JournalReader(log.open())
    assert first.claim()
    assert first.claim()
    assert not second.claim()
    first.close()
    assert second.claim()
    assert read_all(second) == [b"x"]
    second.close()
    log.close()
    with pytest.raises(FileNotFoundError):
        JournalReader(tmp_path / "none").claim()


def test_a_reader_beside_a_writer_sees_each_record_at_once(tmp_path: Path) -> None:
    log = JournalWriter([tmp_path], spell, size=300)
    reader = opened(log.open())
    assert reader.writer_is_alive()
    for number in range(300):
        body = b"%d" % number * (number % 30)
        log.append(body, number % 7)
        assert [record.body for record in reader.read()] == [body]
        assert reader.tail() == reader.position
        assert reader.read() == []
    log.close()
    assert not reader.writer_is_alive()
    reader.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_tail_is_known_before_anything_is_read(tmp_path: Path) -> None:
    log = filled(tmp_path, [os.urandom(50) for _ in range(100)])
    reader = opened(log.open())
    end = log.mark().ends[0][1]
    assert reader.tail() == end
    reader.read(1)
    assert reader.tail() == end
    log.append(b"more")
    assert reader.tail() == log.mark().ends[0][1] > end
    reader.close()
    log.close()


def test_a_log_that_is_half_removed_is_removed_whole(tmp_path: Path) -> None:
    """As by somebody who was killed at it: its segments are gone, its progress is there."""
    log = filled(tmp_path, [b"a", b"b"])
    folder = log.open()
    reader = opened(folder)
    read_all(reader)
    reader.acknowledge(reader.position)
    reader.close()
    log.close()
    for path in segments(folder):
        path.unlink()
    reader = opened(folder)
    assert read_all(reader) == []
    assert reader.tail() == reader.acknowledged > 0
    reader.save_to_disk()
    reader.remove()
    assert not folder.exists()


def test_saving_to_disk_covers_what_nobody_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is away must not keep the log from being safe against a power cut."""
    saved: list[str] = []
    really = segment.save_to_disk

    def save(path: Path) -> None:
        saved.append(path.name)
        really(path)

    monkeypatch.setattr(segment, "save_to_disk", save)
    log = filled(tmp_path, [os.urandom(50) for _ in range(30)])
    reader = opened(log.open())
    reader.save_to_disk()
    names = [path.name for path in segments(log.open())]
    assert saved == [*names, log.open().name, tmp_path.name]
    saved.clear()
    reader.save_to_disk()
    assert saved == []  # nothing new
    log.append(os.urandom(500), "long")
    reader.save_to_disk()
    assert saved[:-2] == [path.name for path in segments(log.open())][-len(saved) + 2 :]
    assert len(saved) <= 4
    reader.close()
    log.close()


def broken(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))


def test_a_segment_that_breaks_off_does_not_hold_up_those_after_it(tmp_path: Path) -> None:
    bodies = [b"%03d" % number * 10 for number in range(60)]
    log = filled(tmp_path, bodies)
    hurt = segments(log.open())[3]
    broken(hurt, 100)
    reader = opened(log.open())
    found = []
    while records := reader.read():
        found += records
    left = [record.body for record in found]
    assert left == [body for body in bodies if body in left]
    assert len(bodies) > len(left) > 40
    assert left[-1] == bodies[-1]
    assert hurt.name in reader.damage
    # More comes, and is read; what is dealt with goes, but for the broken file.
    log.append(b"more")
    (more,) = reader.read()
    reader.acknowledge(more.end)
    log.close()
    folder = hurt.parent
    reader.remove()
    assert hurt.with_suffix(".broken").exists()
    assert layout.writers(tmp_path) == []
    assert folder.exists()


def test_a_hole_of_zeros_is_passed_over_too(tmp_path: Path) -> None:
    bodies = [b"%03d" % number * 10 for number in range(30)]
    log = filled(tmp_path, bodies)
    first = segments(log.open())[1]
    with first.open("r+b") as file:
        file.seek(16)
        file.write(bytes(first.stat().st_size - 16))
    reader = opened(log.open())
    left = read_all(reader)
    assert left[-1] == bodies[-1]
    assert len(left) < len(bodies)
    assert first.name in reader.damage
    reader.close()
    log.close()


def test_a_torn_last_record_is_no_damage(tmp_path: Path) -> None:
    log = filled(tmp_path, [b"whole", b"torn"], size=4096)
    (path,) = segments(log.open())
    reader = opened(log.open())
    assert len(reader.read()) == 2
    reader.close()
    broken(path, log.mark().ends[0][1] - 1)
    log.close()
    reader = opened(path.parent)
    assert read_all(reader) == [b"whole"]
    assert reader.damage == ""
    reader.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", bytes(4096)])
def test_a_segment_that_never_reached_the_disk_is_said_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    log = filled(tmp_path, [b"x" * 40] * 5)
    path = segments(log.open())[0]
    log.close()
    path.write_bytes(content)
    reader = opened(path.parent)
    assert reader.read() == []
    assert path.name in reader.damage
    reader.tail()
    reader.remove()
    assert path.exists()
    assert layout.writers(tmp_path) == []
