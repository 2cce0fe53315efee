"""Reading a journal on, from where the last reader left off, and clearing up behind.

One reader at a time (`claim`). It reads records, deals with them, and says so (`acknowledge`):
segments that are dealt with are removed, and the log of a dead process with its last record. A
reader that dies before it says so leaves the same records to the next one, so dealing with a
record twice must be harmless.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace.journal import folder as layout
from headrace.journal import segment
from headrace.journal.segment import Record, SegmentReader

CHUNK: Final = 256 * 1024
"""Bytes of a log that are read at a time."""


class JournalReader:
    """The log of one writer, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claim = layout.Lock(folder / layout.CLAIMED)
        self._progress: layout.Progress | None = None
        self._current: SegmentReader | None = None
        self._behind: list[SegmentReader] = []
        self._saved = 0

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
        while self._advance():
            assert self._current is not None
            before = self._current.position
            # After a restart, reading begins at the segment's start, for the sake of its names.
            found = [record for record in self._current.read(limit) if record.end > begin]
            if found:
                return found
            if self._current.position == before and not self._current.full:
                break
        return []

    def tail(self) -> int:
        """The position after all that is in the log now, read or not."""
        last = list(layout.segment_files(self.folder, segment.SUFFIX))
        if self._current is not None and last and last[-1] == self._current.path:
            return self._current.tail()
        if not last:
            return self.position
        reader = SegmentReader(last[-1])
        try:
            return reader.tail()
        finally:
            reader.close()

    def is_dealt_with(self) -> bool:
        """Whether all that is in the log has been dealt with, by whoever reads it."""
        progress = layout.Progress(self.folder)
        try:
            done = progress.position
        finally:
            progress.close()
        for path in layout.segment_files(self.folder, segment.SUFFIX):
            reader = SegmentReader(path)
            try:
                if reader.tail() > max(done, reader.position) and not reader.is_full_at(done):
                    return False
            finally:
                reader.close()
        return True

    def torn_bytes(self) -> int:
        """Bytes of a last record that was never finished; ask when the writer is dead."""
        return self._current.torn_bytes() if self._current is not None else 0

    def rewind(self) -> None:
        """Read again from what was acknowledged last."""
        self._close_segments()

    def acknowledge(self, position: int) -> None:
        """Everything before `position` has been dealt with: it is not read again."""
        assert self._progress is not None, "claim first"
        self._progress.position = max(self._progress.position, position)
        for done in [reader for reader in self._behind if reader.end <= position]:
            done.close()
            done.path.unlink(missing_ok=True)
            self._behind.remove(done)

    def save_to_disk(self) -> None:
        """Return when all that is in the log survives a power cut."""
        for reader in (*self._behind, self._current):
            if reader is not None and reader.position > self._saved:
                reader.save_to_disk()
                self._saved = reader.position

    def close(self) -> None:
        """Let another process read on."""
        self._close_segments()
        if self._progress is not None:
            self._progress.close()
            self._progress = None
        self._claim.release()

    def remove(self) -> None:
        """Remove the log: its writer is dead, and all of it has been dealt with."""
        self._close_segments()
        layout.remove(self.folder)
        self.close()

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
        found: Path | None = None
        for path in layout.segment_files(self.folder, segment.SUFFIX):
            if found is not None:
                if int(path.name.removesuffix(segment.SUFFIX), 16) > position:
                    break
                found.unlink(missing_ok=True)
            found = path
        return found

    def _close_segments(self) -> None:
        for reader in (*self._behind, self._current):
            if reader is not None:
                reader.close()
        self._behind = []
        self._current = None
