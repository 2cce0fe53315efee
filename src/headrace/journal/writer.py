"""Appending to a journal, in the process that has something to say.

The hot way is `append`: a lock, two checksummed copies into mapped memory, no system call. A new
segment costs a few (a file, its reserved space, a map); it is begun when the last one is full.

When there is no place for a segment (the disk is full, the folder became read-only), the log ends
and another one begins in the next of the writer's places. When none has room, what is appended is
held in memory, in order and bounded, and moves to a log as soon as there is place again; `lost`
counts what did not fit. A forked child shares nothing with its parent: it begins a log of its own
with its first record.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from headrace.journal import folder as layout
from headrace.journal import segment

HELD_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that are held in memory while there is no place on disk."""
RETRY_SECONDS: Final = 1.0
"""How long after a segment could not be begun the next try is made."""
_HELD_OVERHEAD: Final = 176
"""Bytes of memory that a held record takes besides its body: its objects."""
_PIECE: Final = 500
"""Held records that are moved to the log at a time, so that nobody waits for all of them."""

_pack_record = segment.RECORD.pack
_RECORD_SIZE: Final = segment.RECORD.size
_MARK_OF_FULL: Final = segment.RECORD.pack(segment.FULL, 0)
_MOST_NAMES: Final = 2**20


class Mark(NamedTuple):
    """How far a writer had come at some moment, in the logs that it had then."""

    ends: tuple[tuple[layout.Progress, int], ...]
    held: int

    def is_reached(self) -> bool:
        """Whether readers have dealt with everything up to here."""
        return self.held == 0 and all(log.position >= end for log, end in self.ends)


class JournalWriter:
    """The log of this process, in the first of the folders `places` that has room.

    Safe to use from any thread. `spell` turns a name, which may be anything hashable, into the
    bytes that are declared; what it raises, the first `append` under that name raises. Nothing
    touches the disk before the first record, or `open`. `opened` is called with the folder of each
    new log, under the writer's lock: it must not append; `stuck` when there is no place for one.
    `bounds` gives the most bytes that all logs in a place may take together.
    """

    def __init__(
        self,
        places: Sequence[Path],
        spell: Callable[[Hashable], bytes],
        *,
        opened: Callable[[Path], None] = lambda _: None,
        stuck: Callable[[], None] = lambda: None,
        bounds: Mapping[Path, int] | None = None,
        held_bytes: int = HELD_BYTES,
        size: int = segment.SIZE,
    ) -> None:
        self._places = tuple(places)
        self._spell = spell
        self._opened = opened
        self._stuck = stuck
        self._bounds = dict(bounds or {})
        self._held_limit = held_bytes
        self._segment_size = size
        self._forget()
        _writers.add(self)

    def _forget(self) -> None:
        """As if nothing had been written: how a forked child begins."""
        # A signal's handler may log while the thread that it interrupts is in the middle of that.
        self._lock = threading.RLock()
        self._is_busy = False
        self._interjected: deque[tuple[Hashable, bytes]] = deque()
        self.folder: Path | None = None
        self._alive: layout.Lock | None = None
        self._progress: layout.Progress | None = None
        self._earlier: list[tuple[layout.Progress, int]] = []
        self._view: mmap.mmap | None = None
        self._names: dict[Hashable, bytes] = {}
        self._base = 0
        self._at = 0
        self._room = 0
        self._limit = 0
        self._held: deque[tuple[Hashable, bytes]] = deque()
        self._held_size = 0
        self._retry_at = 0.0
        self.trouble: OSError | None = None
        self.lost = 0

    def mark(self) -> Mark:
        """How far this writer has come: what has been appended until now."""
        with self._lock:
            self._earlier = [log for log in self._earlier if log[0].position < log[1]]
            ends = list(self._earlier)
            end = self._base + self._at
            if self._progress is not None and end > segment.HEADER.size:
                ends.append((self._progress, end))
            return Mark(tuple(ends), len(self._held))

    @property
    def held(self) -> int:
        """How many records are held in memory because there is no place for them."""
        return len(self._held)

    def open(self) -> Path:
        """The folder of this process's log, made now if need be. Raises OSError."""
        with self._lock:
            return self._open()

    def append(self, body: bytes, name: Hashable = None) -> None:
        """Append a record; when this returns it survives the death of the process."""
        with self._lock:
            names = self._names
            number = names.get(name)
            if number is not None:
                payload = number + body
                header = _pack_record(len(payload), crc32(payload))
                size = _RECORD_SIZE + len(payload)
                # Nothing is called from here on: what a signal brings, be it KeyboardInterrupt or
                # a handler that logs, comes before all of it or after, and not between.
                at = self._at
                end = at + size
                if end <= self._room and names is self._names:
                    self._view[at + _RECORD_SIZE : end] = payload  # type: ignore[index]  # open: there is room
                    self._view[at : at + _RECORD_SIZE] = header  # type: ignore[index]  # as above
                    self._at = end
                    return
            self._append_slowly(body, name)

    def settle(self) -> bool:
        """Move what is held in memory to the log; whether all of it is there."""
        while True:
            with self._lock:
                before = len(self._held)
                if not before or self._is_busy:
                    return not before
                with self._busy():
                    self._drain()
                if len(self._held) == before:
                    return False

    def rescue(self) -> bool:
        """Make the log anew where somebody removed it; whether that was so. Raises OSError.

        Values of earlier segments that were not delivered are gone with their files.
        """
        with self._lock:
            if self.folder is None or self._is_busy or (self.folder / layout.PROGRESS).exists():
                return False
            old, names, at = self._view, self._names, self._at
            progress, alive, base = self._progress, self._alive, self._base
            assert old is not None
            assert progress is not None
            with self._busy():
                self.folder = None
                try:
                    self._open(len(old))
                except OSError:
                    self.folder = alive.path.parent if alive is not None else None
                    raise
                assert self._view is not None
                assert self._progress is not None
                self._view[segment.HEADER.size : at] = old[segment.HEADER.size : at]
                self._at, self._names = at, names
                self._progress.position = max(0, progress.position - base)
                self._earlier = []
                old.close()
                if alive is not None:
                    alive.release()
            return True

    def close(self) -> None:
        """Let go of the log. Its reader takes it for that of a dead process and clears it up."""
        with self._lock:
            self._close_log()

    def _open(self, size: int = segment.FIRST_SIZE) -> Path:
        """This process's log, a new one in the first place that allows it. Raises OSError."""
        if self.folder is not None:
            return self.folder
        failure: OSError | None = None
        for place in self._places:
            try:
                folder = self._open_in(place, size)
            except OSError as error:
                failure = failure or error
            else:
                self.trouble = failure
                return folder
        raise failure or FileNotFoundError(2, "there is no place for a journal")

    def _open_in(self, place: Path, size: int) -> Path:
        folder = place / layout.new_writer_name()
        self._check_bound(place, size)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        alive = layout.Lock(folder / layout.ALIVE)
        try:
            alive.take()
            view = segment.create(folder, 0, min(size, self._segment_size))
            # The progress file makes it a log for readers, so it comes last.
            self._progress = layout.Progress(folder, create=True)
        except OSError:
            alive.release()
            layout.remove(folder)
            raise
        self._alive = alive
        self.folder = folder
        self._stand_in(view, 0)
        self._opened(folder)
        return folder

    def _check_bound(self, place: Path, size: int) -> None:
        bound = self._bounds.get(place)
        if bound is not None and layout.size_of(place) + size > bound:
            raise OSError(errno.ENOSPC, "The journals there have their full size", str(place))

    def _close_log(self) -> None:
        if self._view is not None and self._progress is not None:
            if self._base + self._at > segment.HEADER.size:
                self._earlier.append((self._progress, self._base + self._at))
            self._view.close()
        if self._alive is not None:
            self._alive.release()
        self.folder = self._alive = self._progress = self._view = None
        self._base = self._at = self._room = self._limit = 0
        self._names = {}

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """While this lasts nothing else comes in; what a signal's handler logs follows behind."""
        self._is_busy, self._room = True, 0
        try:
            yield
            while self._interjected:
                name, body = self._interjected.popleft()
                self._hold_or_place(body, name)
        finally:
            self._is_busy = False
            self._room = 0 if self._held else self._limit

    def _append_slowly(self, body: bytes, name: Hashable) -> None:
        """A record that needs a name declared, a new segment, or more patience."""
        spelled = None if name is None else self._spell(name)
        if self._is_busy:
            self._interjected.append((name, body))
            return
        with self._busy():
            if self._held:
                self._drain()
            self._hold_or_place(body, name, spelled)

    def _hold_or_place(self, body: bytes, name: Hashable, spelled: bytes | None = None) -> None:
        if spelled is None and name is not None:
            spelled = self._spell(name)
        if self._held or not self._place(body, name, spelled):
            self._hold(body, name)

    def _place(self, body: bytes, name: Hashable, spelled: bytes | None) -> bool:
        """Write a record into a segment, a new one if need be; False when there is no place."""
        needed = segment.OVERHEAD + len(body)
        if spelled is not None and name not in self._names:
            needed += segment.OVERHEAD + len(spelled)
        is_full = self._at + needed > self._limit or len(self._names) > _MOST_NAMES
        if is_full and not self._next_segment(needed, spelled):
            return False
        if name not in self._names:
            assert spelled is not None, "None is declared with every segment"
            count = len(self._names)
            self._write(segment.NUMBER.pack(count | segment.DECLARES) + spelled)
            self._names[name] = segment.NUMBER.pack(count)
        self._write(self._names[name] + body)
        return True

    def _write(self, payload: bytes) -> None:
        header = _pack_record(len(payload), crc32(payload))
        size = _RECORD_SIZE + len(payload)
        at, view = self._at, self._view
        assert view is not None
        view[at + _RECORD_SIZE : at + size] = payload
        view[at : at + _RECORD_SIZE] = header
        self._at = at + size

    def _next_segment(self, needed: int, spelled: bytes | None) -> bool:
        """Have room for a record in a new segment, or in a new log; False when there is none."""
        if time.monotonic() < self._retry_at:
            return False
        needed += segment.OVERHEAD + len(spelled or b"")
        try:
            if self.folder is not None:
                try:
                    self._follow(needed)
                except OSError:
                    # No room here any more: end this log, and look for a place for another.
                    self._close_log()
            if self.folder is None:
                self._open()
                if self._at + needed > self._limit:
                    self._follow(needed)
        except OSError as error:
            self.trouble = error
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._stuck()
            return False
        return True

    def _follow(self, needed: int) -> None:
        """Begin the next segment of this log. Raises OSError."""
        old = self._view
        assert self.folder is not None
        assert old is not None
        base = self._base + len(old)
        size = max(self._segment_size, segment.HEADER.size + needed)
        self._check_bound(self.folder.parent, size)
        view = segment.create(self.folder, base, size)
        if len(old) - self._at >= _RECORD_SIZE:
            old[self._at : self._at + _RECORD_SIZE] = _MARK_OF_FULL
        self._stand_in(view, base)
        old.close()

    def _stand_in(self, view: mmap.mmap, base: int) -> None:
        limit = len(view)
        names: dict[Hashable, bytes] = {None: segment.NUMBER.pack(0)}
        self._view, self._names, self._limit = view, names, limit
        self._base, self._at, self._room = base, segment.HEADER.size, 0 if self._is_busy else limit

    def _hold(self, body: bytes, name: Hashable) -> None:
        size = len(body) + _HELD_OVERHEAD
        if self._held_size + size > self._held_limit:
            self.lost += 1
            return
        self._held.append((name, body))
        self._held_size += size

    def _drain(self) -> None:
        """Move some of what is held to the log, if there is a place for it."""
        for _ in range(min(len(self._held), _PIECE)):
            name, body = self._held[0]
            if not self._place(body, name, None if name is None else self._spell(name)):
                return
            self._held.popleft()
            self._held_size -= len(body) + _HELD_OVERHEAD

    def _after_fork(self) -> None:
        """In a child: let go of what is the parent's, without touching it."""
        view = self._view
        self._forget()
        if view is not None:
            view.close()


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
