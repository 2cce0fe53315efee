"""What a program prints, kept with its run while it is being printed.

`sys.stdout` and `sys.stderr` stay the objects that they are; while a run is captured, their
`write` also hands the text to that run. So everything that holds one of them already (handlers of
`logging`, progress bars, notebooks, pytest) is seen, and `isatty`, `fileno`, `encoding` and
`contextlib.redirect_stdout` work as ever. Bytes that go past the two, written to `.buffer`, by
C libraries or by other programs, are not seen.

Text belongs to the innermost run that the printing thread has begun; in a thread without one, to
the run that began last in any thread. A forked child's prints are not kept.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from headrace.artifacts.console import FOLDER, chunk_name

CHUNK_BYTES: Final = 256_000
"""A file of the log has at most so many bytes: a file that grows is uploaded again and again."""
MAX_BYTES: Final = 64_000_000
"""So much of what a run prints is kept as it comes; of the rest, the last END_BYTES."""
END_BYTES: Final = 1_000_000
CLOSE_SECONDS: Final = 1.0
"""How long the end of a log waits for somebody who is writing."""
MAX_WAITING: Final = 100_000
"""Texts that wait while one is written: a disk that hangs must not fill the memory."""
PROGRESS_SECONDS: Final = 1.0
"""A line that is drawn over and over (a progress bar) is kept once in this time."""

_log: Final = logging.getLogger("headrace")
Write = Callable[[str], Any]


class LiveFile(Protocol):
    """An artifact that grows: what is written is safe from the death of this process at once."""

    def write(self, data: bytes, /) -> Any:
        """Append."""
        ...

    def close(self) -> None:
        """Say that nothing more will come."""
        ...


class Log:
    """The console of one run: a row of files, each named after where in the log it begins.

    `open_file` makes the file with an artifact path. Safe to use from any thread, and from a
    signal handler that prints. Nothing raises: a log that cannot be written is given up.
    """

    def __init__(self, open_file: Callable[[str], LiveFile]) -> None:
        self.closed = False
        self._open_file = open_file
        # Several processes, or one after the other, may log to one run: each has its own folder.
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        began = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
        self._folder = f"{FOLDER}/{began}.{rest // 1000:06}Z-{os.urandom(2).hex()}"
        self._lock = threading.Lock()
        self._broken = False
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._file: LiveFile | None = None
        self._length = self._chunk_start = 0
        self._drawn: str | None = None
        self._drawn_at = 0.0
        self._end: deque[bytes] = deque()
        self._end_length = self._left_out = 0

    def write(self, text: str) -> None:
        """Append what was printed.

        Whoever finds another writer here leaves the text to that one, for to wait would be to
        wait for ever: the other may be this very thread, or hold a lock of `logging` that this
        thread holds too.
        """
        self._waiting.append(text)
        while self._waiting and self._lock.acquire(blocking=False):
            try:
                while self._waiting:
                    self._take(self._waiting.popleft())
            except Exception as error:  # noqa: BLE001 - the user's print must go on without our file
                self._broken = True
                failure: Exception | None = error
            else:
                failure = None
            finally:
                self._lock.release()
            if failure is not None:
                _log.warning("What this program prints is no longer kept: %s", failure)

    def close(self, error: BaseException | None = None) -> None:
        """Write what is held back, and why the run failed; then no more is taken."""
        if error is not None:
            import traceback

            self.write("".join(traceback.format_exception(error)))
        # A time limit: a thread may have been stopped in the middle of a write.
        if not self._lock.acquire(timeout=CLOSE_SECONDS):
            self.closed = True
            return
        try:
            while self._waiting:
                self._take(self._waiting.popleft())
            if not (self.closed or self._broken):
                self._draw()
                self._append_end()
            if self._file is not None:
                self._file.close()
        except Exception:  # noqa: BLE001 - the run must end all the same
            self._broken = True
        finally:
            self.closed = True
            self._file = None
            self._lock.release()

    def _take(self, text: str) -> None:
        if self.closed or self._broken or not text:
            return
        if text[0] == "\r" and "\n" not in text:
            # The next drawing will lie over this one: enough if somebody sees it now and then.
            self._drawn = text
            now = time.monotonic()
            if now - self._drawn_at < PROGRESS_SECONDS:
                return
            self._drawn_at = now
            text = ""
        self._draw()
        if text:
            self._append(text.encode("utf-8", "backslashreplace"))

    def _draw(self) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is not None:
            self._append(drawn.encode("utf-8", "backslashreplace"))

    def _append(self, data: bytes) -> None:
        room = MAX_BYTES - self._length
        if len(data) > room:
            self._keep_for_end(data[room:])
            data = data[:room]
        while data:
            data = data[self._append_to_chunk(data) :]

    def _append_to_chunk(self, data: bytes) -> int:
        """Write as much of `data` as has room in this file or, when it is full, in the next."""
        if self._file is not None and self._length - self._chunk_start >= CHUNK_BYTES:
            full, self._file = self._file, None
            full.close()
        if self._file is None:
            self._chunk_start = self._length
            self._file = self._open_file(f"{self._folder}/{chunk_name(self._length)}")
        piece = data[: CHUNK_BYTES - (self._length - self._chunk_start)]
        self._file.write(piece)
        self._length += len(piece)
        return len(piece)

    def _keep_for_end(self, data: bytes) -> None:
        """Hold the newest END_BYTES in memory, for how a program ended is what people look for."""
        if len(data) > END_BYTES:
            self._left_out += len(data) - END_BYTES
            data = data[-END_BYTES:]
        self._end.append(data)
        self._end_length += len(data)
        while self._end_length > END_BYTES:
            first = self._end.popleft()
            self._end_length -= len(first)
            self._left_out += len(first)

    def _append_end(self) -> None:
        if not self._end:
            return
        data = b"".join(self._end)
        if self._left_out:
            mark = f"\n[{self._left_out:,} bytes were printed here and not kept]\n"
            data = mark.encode() + data
        while data:
            data = data[self._append_to_chunk(data) :]


class _Threads(threading.local):
    """The logs that each thread has begun, the innermost last."""

    def __init__(self) -> None:
        self.logs: list[Log] = []


class Console:
    """Hands what this process prints to the logs of its runs. One per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[str, Log] = {}
        self._latest: Log | None = None
        self._own = _Threads()
        self._tees: list[_Tee] = []

    def begin(self, run_id: str, open_file: Callable[[str], LiveFile]) -> None:
        """Keep what is printed from now on with a run; `open_file` is Log's."""
        log = Log(open_file)
        with self._lock:
            earlier = self._logs.pop(run_id, None)
            self._logs[run_id] = self._latest = log
            self._own.logs.append(log)
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and all(tee.stream is not stream for tee in self._tees):
                    tee = _Tee(stream, self._write)
                    if tee.attach():
                        self._tees.append(tee)
        if earlier is not None:
            earlier.close()  # begun again, in another thread

    def end(self, run_id: str, error: BaseException | None = None) -> None:
        """Finish a run's log, with the traceback of `error`; may be called from any thread."""
        with self._lock:
            log = self._logs.pop(run_id, None)
            self._latest = next(reversed(self._logs.values()), None)
            if not self._logs:
                self._tees = [tee for tee in self._tees if not tee.detach()]
        if log is not None:
            log.close(error)

    def _write(self, text: str) -> None:
        own = self._own.logs
        while own and own[-1].closed:
            own.pop()
        log = own[-1] if own else self._latest
        if log is not None:
            log.write(text)

    def forget(self) -> None:
        """In a child after a fork: the logs are the parent's, and so are the locks it held."""
        self._lock = threading.Lock()
        self._logs, self._latest, self._own = {}, None, _Threads()


class _Tee:
    """A stream whose `write` is ours as long as a run is captured."""

    def __init__(self, stream: Any, take: Write) -> None:
        self.stream = stream
        self._take = take
        self._had = vars(stream).get("write") if hasattr(stream, "__dict__") else None
        self._write: Write = stream.write
        self._ours = self._make()

    def attach(self) -> bool:
        """Take the stream's place; False for an object that does not let us."""
        try:
            self.stream.write = self._ours
        except (AttributeError, TypeError):
            return False
        return True

    def detach(self) -> bool:
        """Give the stream its own `write` back; False while somebody has wrapped ours."""
        try:
            if vars(self.stream).get("write") is not self._ours:
                return False
            if self._had is None:
                del self.stream.write
            else:
                self.stream.write = self._had
        except (AttributeError, TypeError):
            return False
        return True

    def _make(self) -> Write:
        write, take = self._write, self._take

        def tee(text: str, /) -> Any:
            # First, so that whatever somebody has seen is kept, were the program killed now.
            if isinstance(text, str):
                take(text)
            return write(text)

        return tee


console: Console = Console()
"""The console of this process."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=console.forget)
