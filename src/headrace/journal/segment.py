"""The format of a journal's files.

A log is a sequence of segments, files that follow one another without a gap. A *position* is a
count of bytes from the beginning of the log; a segment begins at the position that is its name, in
16 hexadecimal digits. It starts with a header of 16 bytes (the magic `HRJ1`, the header's length,
the position), then come records:

    length   u32   bytes of the payload; 0: nothing was written here yet;
                   2**32 - 1: this segment is full, the next one goes on
    crc      u32   CRC-32 of the payload
    payload  u32   number of a name; 0: none; with the highest bit: this record declares a name
             …     the body, or the name that is declared

All numbers are little-endian. A name is declared once in every segment that uses it, so that each
segment can be read by itself. A record whose checksum is wrong was never finished: the log ends
before it. The length is written after the rest, so a reader beside a writer sees whole records.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

MAGIC: Final = b"HRJ1"
SUFFIX: Final = ".segment"
FIRST_SIZE: Final = 256 * 1024
"""Bytes of a log's first segment: most programs never need another."""
SIZE: Final = 4 * 1024 * 1024
FULL: Final = 2**32 - 1
DECLARES: Final = 2**31
HEADER: Final = struct.Struct("<4sIQ")
RECORD: Final = struct.Struct("<II")
NUMBER: Final = struct.Struct("<I")
OVERHEAD: Final = RECORD.size + NUMBER.size
"""Bytes that a record takes besides its body."""
_LARGEST: Final = 2**30
_UNFINISHED: Final = "begun"
_HOP: Final = 64 * 1024
"""Bytes that are read at a time where only the lengths of records matter."""


class Record(NamedTuple):
    """One record: the position after it, the name it was appended under, what was appended."""

    end: int
    name: bytes
    body: bytes


def file_name(position: int) -> str:
    """The name of the segment that begins at `position`."""
    return f"{position:016x}{SUFFIX}"


def create(folder: Path, position: int, size: int) -> mmap.mmap:
    """A new segment in memory, its place on disk reserved. Raises OSError (disk full, …).

    Reserving matters: writing to a mapped file on a full disk would kill the process. It has its
    name once it has its header: a reader may look at any moment.
    """
    begun = folder / _UNFINISHED
    descriptor = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _reserve(descriptor, size)
        view = mmap.mmap(descriptor, size)
        view[: HEADER.size] = HEADER.pack(MAGIC, HEADER.size, position)
        begun.rename(folder / file_name(position))
    except OSError:
        begun.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return view


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                raise  # else this file system cannot, and zeros take the room as well
    while size > 0:
        size -= os.write(descriptor, bytes(min(size, 1 << 20)))


def save_to_disk(path: Path) -> None:
    """Return when what a segment (or folder) holds now survives a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Damaged(Exception):
    """A file is not a segment at all."""


class SegmentReader:
    """Reads one segment from its start on; a record that is not there yet may come later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            self.size = os.fstat(self._descriptor).st_size
            head = os.pread(self._descriptor, HEADER.size, 0)
            if len(head) < HEADER.size:
                raise Damaged(f"{path.name} is too short to be a segment")
            magic, self._at, self.start = HEADER.unpack(head)
            if magic != MAGIC or file_name(self.start) != path.name:
                raise Damaged(f"{path.name} does not begin as a segment does")
        except BaseException:
            self.close()
            raise
        self._names: dict[int, bytes] = {0: b""}
        self._tail = self._at
        self.full = False

    @property
    def position(self) -> int:
        """The position after what has been read."""
        return int(self.start + self._at)

    @property
    def end(self) -> int:
        """The position where the next segment begins."""
        return int(self.start + self.size)

    def read(self, limit: int) -> Iterator[Record]:
        """Records that follow, `limit` bytes of them or a little more."""
        while not self.full:
            before = self._at
            data = os.pread(self._descriptor, max(limit, 64), self._at)
            needed = yield from self._parse(data)
            if needed is None or self._at > before:
                return
            # The next record alone is longer than what was read: read as much as it takes.
            limit = needed

    def _parse(self, data: bytes) -> Generator[Record, None, int | None]:
        """Records in `data`, which begins where reading stands.

        Returns the bytes that the next record needs where `data` holds only a part of it, else
        None: there is no next record yet.
        """
        at = 0
        start = self._at
        while True:
            if self.size - start - at < RECORD.size:
                self.full = True
                return None
            if len(data) - at < RECORD.size:
                return RECORD.size
            length, checksum = RECORD.unpack_from(data, at)
            if length == FULL:
                self.full = True
                return None
            if length == 0 or length > min(self.size - start - at - RECORD.size, _LARGEST):
                return None
            if len(data) - at - RECORD.size < length:
                return int(RECORD.size + length)
            stop = at + RECORD.size + length
            payload = data[at + RECORD.size : stop]
            if crc32(payload) != checksum or length < NUMBER.size:
                return None
            record = self._record(payload, self.start + start + stop)
            at = stop
            self._at = start + at
            if record is not None:
                yield record

    def _record(self, payload: bytes, end: int) -> Record | None:
        number = int.from_bytes(payload[:4], "little")
        body = payload[4:]
        if number & DECLARES:
            self._names[number ^ DECLARES] = body
            return None
        if number not in self._names:
            raise Damaged(f"{self.path.name} has a record under a name that it never declared")
        return Record(end, self._names[number], body)

    def tail(self) -> int:
        """The position after the last record that is there, by the lengths of the records alone."""
        self._tail = max(self._tail, self._at)
        while self.size - self._tail >= RECORD.size:
            data = os.pread(self._descriptor, _HOP, self._tail)
            room = self.size - self._tail - RECORD.size
            at = 0
            while len(data) - at >= RECORD.size:
                (length,) = NUMBER.unpack_from(data, at)
                if length == FULL:
                    return self.end
                if length == 0 or length > room - at:
                    self._tail += at
                    return int(self.start + self._tail)
                at += RECORD.size + length
            self._tail += at
        return int(self.start + self._tail)

    def close(self) -> None:
        """Let go of the file; it stays where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
