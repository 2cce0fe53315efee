"""Reading a journal on, from where the last reader left off, and clearing up behind.

One reader at a time (`claim`). It reads records, deals with them, and says so (`acknowledge`):
segments that are dealt with are removed, and the log of a dead process with its last record. A
reader that dies before it says so leaves the same records to the next one, so dealing with a
record twice must be harmless.

What a power cut or a broken disk made unreadable is passed over as far as that goes: `damage` says
so, and `remove` leaves the files where they are.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.journal import folder as layout
from headrace.journal import segment
from headrace.journal.segment import Damaged, Record, SegmentReader

CHUNK: Final = 256 * 1024
"""Bytes of a log that are read at a time."""
BROKEN: Final = ".broken"
"""What a segment is called that could not be read to its end."""


class JournalReader:
    """The log of one writer, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claim = layout.Lock(folder / layout.CLAIMED)
        self._progress: layout.Progress | None = None
        self._current: SegmentReader | None = None
        self._behind: list[SegmentReader] = []
        self._last: SegmentReader | None = None
        self._saved = 0
        self._doubtful = -1
        self._broken: set[Path] = set()
        self.damage = ""

    def claim(self) -> bool:
        """Be the one who reads this log; False when another process is. Raises OSError."""
        if self._progress is None:
            if not self._claim.take():
                return False
            self._progress = layout.Progress(self.folder)
        return True

    @property
    def acknowledged(self) -> int:
        """The position up to which this log has been dealt with."""
        assert self._progress is not None, "claim first"
        return self._progress.position

    @property
    def position(self) -> int:
        """The position after what has been read."""
        return self._current.position if self._current is not None else self.acknowledged

    def writer_is_alive(self) -> bool:
        """Whether the process that writes this log still runs."""
        return layout.is_locked(self.folder / layout.ALIVE)

    def read(self, limit: int = CHUNK) -> list[Record]:
        """The next records, about `limit` bytes of them; none when there are no more now."""
        begin = self.acknowledged
        found: list[Record] = []
        try:
            while not found and self._advance():
                assert self._current is not None
                before = self._current.position
                # After a restart, reading begins at the segment's start, to know its names.
                for record in self._current.read(limit):
                    if record.end > begin:
                        found.append(record)
                if self._current.position == before and not (self._current.full or self._skip()):
                    break
        except Damaged as damaged:
            self.damage = str(damaged)
        return found

    def tail(self) -> int:
        """The position after all that is in the log now, read or not."""
        last = max(layout.segment_files(self.folder, segment.SUFFIX), default=None)
        with suppress(Damaged):
            if last is not None and (self._last is None or self._last.path != last):
                found = SegmentReader(last)
                if self._last is not None:
                    self._last.close()
                self._last = found
        return self._last.tail() if self._last is not None else self.position

    def rewind(self) -> None:
        """Read again from what was acknowledged last."""
        self._close_segments()

    def acknowledge(self, position: int) -> None:
        """Everything before `position` has been dealt with: it is not read again."""
        assert self._progress is not None, "claim first"
        self._progress.position = max(self._progress.position, position)
        for done in [reader for reader in self._behind if reader.end <= position]:
            done.close()
            if done.path in self._broken:
                done.path.rename(done.path.with_suffix(BROKEN))
            else:
                done.path.unlink(missing_ok=True)
            self._behind.remove(done)

    def save_to_disk(self) -> None:
        """Return when all that is in the log now, read or not, survives a power cut.

        Raises OSError.
        """
        end = self.tail()
        if end <= self._saved:
            return
        paths = list(layout.segment_files(self.folder, segment.SUFFIX))
        # There is none where somebody was killed while removing a log that was dealt with.
        stops = [*map(_start, paths[1:]), end][: len(paths)]
        for path, stop in zip(paths, stops, strict=True):
            if stop > self._saved:
                segment.save_to_disk(path)
        for folder in (self.folder, self.folder.parent):
            segment.save_to_disk(folder)
        self._saved = end

    def close(self) -> None:
        """Let another process read on."""
        self._close_segments()
        if self._progress is not None:
            self._progress.close()
            self._progress = None
        self._claim.release()

    def remove(self) -> None:
        """Remove the log: its writer is dead, and all of it has been dealt with.

        Of a damaged log only the progress goes, so that nobody reads it again.
        """
        self._close_segments()
        if self.damage:
            (self.folder / layout.PROGRESS).unlink(missing_ok=True)
        else:
            layout.remove(self.folder)
        self.close()

    def _skip(self) -> bool:
        """Leave a segment that breaks off although the log goes on; whether that was so."""
        assert self._current is not None
        following = self.folder / segment.file_name(self._current.end)
        if not following.exists():
            return False
        reader = SegmentReader(following)
        try:
            if reader.tail() == reader.position:
                return False
        finally:
            reader.close()
        # The writer says that a segment is full before it goes on: read once more to be sure.
        if self._doubtful != self._current.position:
            self._doubtful = self._current.position
        else:
            self.damage = f"{self._current.path.name} breaks off at {self._current.position}"
            self._broken.add(self._current.path)
            self._current.full = True
        return True

    def _advance(self) -> bool:
        """Stand in the segment that has the next record; False when there is none yet."""
        if self._current is None:
            first = self._segment_with(self.acknowledged)
            if first is None:
                return False
            self._current = SegmentReader(first)
        if self._current.full:
            following = self.folder / segment.file_name(self._current.end)
            if not following.exists():
                return False
            self._behind.append(self._current)
            self._current = SegmentReader(following)
        return True

    def _segment_with(self, position: int) -> Path | None:
        """The segment that holds `position`; those before it, dealt with, are removed."""
        paths = list(layout.segment_files(self.folder, segment.SUFFIX))
        while len(paths) > 1 and _start(paths[1]) <= position:
            paths.pop(0).unlink(missing_ok=True)
        return paths[0] if paths else None

    def _close_segments(self) -> None:
        for reader in (*self._behind, self._current, self._last):
            if reader is not None:
                reader.close()
        self._behind = []
        self._current = self._last = None


def is_dealt_with(log: Path) -> bool:
    """Whether its reader, whoever that is, has dealt with all that is in a log now.

    Raises OSError where there is no such log, Damaged for one that cannot be read.
    """
    progress = layout.Progress(log)
    done = progress.position
    progress.close()
    for path in layout.segment_files(log, segment.SUFFIX):
        reader = SegmentReader(path)
        try:
            if any(record.end > done for record in reader.read(reader.size)):
                return False
        finally:
            reader.close()
    return True


def _start(path: Path) -> int:
    """The position at which a segment begins."""
    return int(path.name.removesuffix(segment.SUFFIX), 16)
