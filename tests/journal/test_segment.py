"""The format of a segment: what was written whole is read, and nothing else."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.journal import segment
from headrace.journal.segment import Damaged, SegmentReader

BODIES = st.lists(st.binary(max_size=300), max_size=30)


@contextmanager
def written(bodies: list[bytes], size: int = 16_384, position: int = 0) -> Iterator[Path]:
    """A segment that holds these records, written as the module's docstring says."""
    with tempfile.TemporaryDirectory() as folder:
        view = segment.create(Path(folder), position, size)
        at = segment.HEADER.size
        for body in bodies:
            payload = bytes(4) + body
            view[at : at + 8] = struct.pack("<II", len(payload), crc32(payload))
            view[at + 8 : at + 8 + len(payload)] = payload
            at += 8 + len(payload)
        view.close()
        yield Path(folder) / segment.file_name(position)


@contextmanager
def reading(path: Path) -> Iterator[SegmentReader]:
    reader = SegmentReader(path)
    try:
        yield reader
    finally:
        reader.close()


def read_all(path: Path, limit: int = 1 << 20) -> list[bytes]:
    with reading(path) as reader:
        found: list[bytes] = []
        while more := [record.body for record in reader.read(limit)]:
            found += more
        return found


@given(BODIES, st.integers(1, 2000))
def test_what_was_written_is_read_in_pieces_of_any_size(bodies: list[bytes], limit: int) -> None:
    with written(bodies) as path:
        assert read_all(path, limit) == bodies


@given(BODIES, st.integers(0, 2**40))
def test_positions_count_from_the_beginning_of_the_log(bodies: list[bytes], start: int) -> None:
    with written(bodies, position=start) as path, reading(path) as reader:
        ends = [record.end for record in reader.read(1 << 20)]
        assert ends == [
            start + 16 + sum(len(body) + segment.OVERHEAD for body in bodies[: n + 1])
            for n in range(len(bodies))
        ]
        assert reader.position == reader.tail() == (ends[-1] if ends else start + 16)
        assert reader.end == start + 16_384


@given(BODIES)
def test_the_tail_is_found_without_reading(bodies: list[bytes]) -> None:
    with written(bodies) as path, reading(path) as reader, reading(path) as other:
        last = [record.end for record in other.read(1 << 20)][-1:] or [16]
        assert reader.tail() == reader.tail() == last[0]
        assert [record.body for record in reader.read(1 << 20)] == bodies


@given(BODIES.filter(bool), st.data())
def test_a_cut_at_any_byte_leaves_whole_records(bodies: list[bytes], data: st.DataObject) -> None:
    whole = 16 + sum(len(body) + segment.OVERHEAD for body in bodies)
    cut = data.draw(st.integers(16, whole))
    with written(bodies) as path:
        with path.open("r+b") as file:  # the rest never reached the disk
            file.seek(cut)
            file.write(bytes(whole - cut))
        found = read_all(path)
    # A record that ends in zeros is whole without them.
    assert found == bodies[: len(found)]
    ends = [16 + sum(len(b) + segment.OVERHEAD for b in bodies[:n]) for n in range(len(bodies) + 1)]
    assert len(found) >= max(n for n, end in enumerate(ends) if end <= cut)


@given(BODIES.filter(bool), st.data())
def test_a_changed_byte_is_never_read(bodies: list[bytes], data: st.DataObject) -> None:
    whole = 16 + sum(len(body) + segment.OVERHEAD for body in bodies)
    at = data.draw(st.integers(16, whole - 1))
    with written(bodies) as path:
        content = bytearray(path.read_bytes())
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found = read_all(path)
    assert found == bodies[: len(found)]
    assert len(found) < len(bodies)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"HRJ1", b"not a segment at all", bytes(64)):
        path = tmp_path / segment.file_name(0)
        path.write_bytes(content)
        with pytest.raises(Damaged, match=r"0000000000000000\.segment"):
            SegmentReader(path)
    segment.create(tmp_path, 4096, 4096).close()
    (tmp_path / segment.file_name(4096)).rename(tmp_path / segment.file_name(8192))
    with pytest.raises(Damaged):
        SegmentReader(tmp_path / segment.file_name(8192))


def test_a_name_that_was_never_declared_is_damage_and_what_came_before_is_read(
    tmp_path: Path,
) -> None:
    with written([b"first"]) as path:
        with path.open("r+b") as file:
            file.seek(16 + segment.OVERHEAD + 5)
            payload = struct.pack("<I", 7) + b"x"
            file.write(struct.pack("<II", len(payload), crc32(payload)) + payload)
        with reading(path) as reader:
            found = reader.read(1000)
            assert next(found).body == b"first"
            with pytest.raises(Damaged, match="never declared"):
                next(found)


def test_its_room_is_reserved_and_its_name_comes_last(tmp_path: Path) -> None:
    view = segment.create(tmp_path, 0, 1 << 20)
    view.close()
    (path,) = tmp_path.iterdir()
    assert path.name == "0000000000000000.segment"
    assert path.stat().st_size == 1 << 20
    assert path.stat().st_blocks * 512 >= 1 << 20
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="No such file"):
        segment.create(tmp_path / "none", 0, 4096)
    segment.save_to_disk(path)
    segment.save_to_disk(tmp_path)


def test_where_nothing_can_be_reserved_zeros_take_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    segment.create(tmp_path, 0, (1 << 20) + 5).close()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == (1 << 20) + 5
    assert path.stat().st_blocks * 512 >= 1 << 20
