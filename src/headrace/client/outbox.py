"""Where everything that a run logs goes: into a journal, at once, whatever the server does.

The outbox of a tracking URI appends entries to this process's log and returns; a sender process
(`client/sender.py`) delivers them. Nothing here waits for the network, and nothing that goes wrong
here raises in the program that logs: it is said in a warning, at most once a minute. A caller's
mistakes raise, before anything is appended.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.client import entries, places
from headrace.client.ledger import Ledger
from headrace.client.pulse import Pulse
from headrace.client.values import checked
from headrace.errors import HeadraceError, InvalidRequest
from headrace.journal.writer import JournalWriter, Mark
from headrace.protocol.metrics import LogMetric
from headrace.protocol.runs import LogBatch

_log: Final = logging.getLogger("headrace")
DEFAULT_FLUSH_SECONDS: Final = 30.0
MEMORY_BYTES: Final = 256 * 1024 * 1024
"""Most bytes of logs that are kept in memory while the disk has no room for them."""
SILENT_SECONDS: Final = 2.0
"""How long the end of a program waits before it says so."""
REMEMBERED_RUNS: Final = 1000
"""Runs whose parameters are remembered, so that a changed one is refused at once."""
_pack_point: Final = entries.POINT.pack
_SENT_LATER: Final = (
    "A sender tries on for ten minutes, and again when a program logs there; or send them with: "
)


class Outbox:
    """What this process logs to one tracking URI. Safe to use from any thread, and after a fork."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.places = places.journal_places(uri)
        self._pulse = Pulse(uri, self.places)
        self._ledger = Ledger(self.places[0])
        self._writer = JournalWriter(
            self.places,
            entries.spell_series,
            opened=self._opened,
            stuck=self._pulse.begin,
            bounds=dict.fromkeys(self.places[1:], MEMORY_BYTES),
        )
        self._pulse.watch(self._writer)
        self._append = self._writer.append
        self._params: dict[str, dict[str, str]] = {}
        self._created: set[str] = set()
        self._files = 0
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """In a child: begin anew. Another thread may have held the locks, and it is not here."""
        self._lock = threading.Lock()
        self._pulse.after_fork()

    def point(
        self, series: tuple[str | None, ...], value: float, timestamp: int, step: int
    ) -> None:
        """Append a point of a metric; `series` is (run, key), or an entries.Series.

        Raises InvalidRequest for a series or a number that no store can hold.
        """
        try:
            body = _pack_point(value, timestamp, step)
        except struct.error:
            # Says what is wrong in words, or takes "3" for the number that it means.
            try:
                found = checked(
                    LogMetric, run_id="r", key="k", value=0.0, timestamp=timestamp, step=step
                )
            except InvalidRequest as mistake:
                raise mistake from None
            body = _pack_point(value, found.timestamp, found.step)
        try:
            self._append(body, series)
        except TypeError:
            raise InvalidRequest(
                f"Invalid value {series[1]!r} for 'key': expected a text."
            ) from None

    def write(self, entry: entries.Entry) -> None:
        """Append anything else. Raises InvalidRequest for a parameter that has another value."""
        if isinstance(entry, entries.Logged):
            self._check_params(entry.request)
        elif isinstance(entry, entries.RunCreated):
            if len(self._created) >= REMEMBERED_RUNS:
                self._created.clear()
            self._created.add(entry.request.run_id or "")
        self._append(entries.encode(entry))

    def has_created(self, run_id: str) -> bool:
        """Whether this process began the run, so that it is there, now or soon."""
        return run_id in self._created

    def file(self, run_id: str, path: str, fill: Callable[[Path], None]) -> None:
        """Append a file for the artifact `path` of a run; `fill` writes it to a local path.

        What `fill` raises is raised; where there is no room for a copy, the log says so.
        """
        with self._lock:
            self._files += 1
            number = self._files
        failure: OSError | None = None
        for folder in self._rooms_for_files():
            file = folder / f"{os.getpid()}-{number}"
            try:
                folder.mkdir(parents=True, mode=0o700, exist_ok=True)
                fill(file)
            except OSError as error:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
                if not _is_about(error, folder):
                    raise
                failure = failure or error
                continue
            own = self._writer.folder
            inside = str(file.relative_to(own)) if own and file.is_relative_to(own) else str(file)
            self._append(entries.encode(entries.ArtifactLogged(run_id, path, inside)))
            return
        self._pulse.warn(f"The artifact '{path}' is lost: there is no room for it ({failure}).")

    def _rooms_for_files(self) -> Iterator[Path]:
        """Where copies of artifacts may lie, best first."""
        with suppress(OSError):
            yield self._writer.open() / "files"
        for place in self.places:
            yield place / "files"

    def live_file(self, run_id: str, path: str) -> LiveFile:
        """A file of a run that grows while it runs, and can be read meanwhile."""
        folder = self._writer.open()
        return LiveFile(self, folder, run_id, path)

    def close_live_file(self, run_id: str, path: str, file: Path) -> None:
        """Append the end of a live file: what it holds now is the artifact."""
        folder = self._writer.folder
        inside = file.relative_to(folder) if folder and file.is_relative_to(folder) else file
        self._append(entries.encode(entries.ArtifactLogged(run_id, path, str(inside))))

    def flush_at_exit(self, timeout: float | None) -> None:
        """Flush, and say what is waited for when that takes more than a moment."""
        if timeout is None:
            timeout = settings.FLUSH_TIMEOUT.get_float(DEFAULT_FLUSH_SECONDS)
        began = time.monotonic()
        first = min(timeout, SILENT_SECONDS)
        if self.flush(first) or self.is_server_away or timeout <= first:
            return
        left = timeout - (time.monotonic() - began)
        _log.warning(
            "Waiting up to %.0f s for %s to take what was logged. Ctrl-C leaves the rest to the "
            "sender.",
            left,
            places.without_credentials(self.uri),
        )
        self.flush(left)

    def run_id(self, ours: str) -> str:
        """The id under which the server knows a run: another one on a plain MLflow server."""
        return self._ledger.run_id(ours)

    def mark(self) -> Mark:
        """How far this process has come: for `is_delivered` and `flush`."""
        return self._writer.mark()

    @property
    def is_empty(self) -> bool:
        """Whether all that this process logged has been delivered."""
        return self._writer.mark().is_reached()

    def flush(self, timeout: float | None = None, *, patient: bool = False) -> bool:
        """Return when all that this process logged is stored; False when it is not in time.

        Seconds by default from the setting FLUSH_TIMEOUT. When the server turns out to be away,
        only a `patient` call waits on.
        """
        self._pulse.look_after_log()
        self._writer.settle()
        mark = self._writer.mark()
        if mark.is_reached():
            return True
        if settings.OFFLINE.get_bool(False):
            return False
        if timeout is None:
            timeout = settings.FLUSH_TIMEOUT.get_float(DEFAULT_FLUSH_SECONDS)
        return self._pulse.wait_for(mark, timeout, patient=patient)

    @property
    def is_server_away(self) -> bool:
        """Whether the last attempt to deliver failed."""
        return settings.OFFLINE.get_bool(False) or bool(self._pulse.reason())

    def say_what_is_missing(self) -> None:
        """Warn that a reading call will not see all that this process logged."""
        left = self.leftover()
        if left:
            self._pulse.warn(f"What is read now is not complete: {left}", "read")

    def say_what_is_left(self) -> None:
        """Warn, at the end of the program, of what has not been delivered."""
        self._pulse.tell_of_losses()
        left = self.leftover()
        if left:
            _log.warning("%s", left)

    def refusals(self, *, news: bool = False) -> list[str]:
        """What the server refused of this process and nobody asked for yet; see Pulse."""
        return self._pulse.take_refusals(news=news)

    def leftover(self) -> str | None:
        """What is not delivered and where it lies, in words; None when there is nothing."""
        if self.is_empty:
            return None
        count = self._pulse.count_left(self._writer)
        where = self._writer.folder
        goal = places.without_credentials(self.uri)
        offline = settings.OFFLINE.get_bool(False)
        reason = "HEADRACE_OFFLINE is set" if offline else self._pulse.reason()
        said = f"{count} of this program {'has' if count == '1 record' else 'have'} not reached "
        said += f"{goal} yet ({reason})." if reason else f"{goal} yet."
        if where is not None:
            said += f" They are kept in {where}. "
            said += "Send them with: " if offline else _SENT_LATER
            said += f"headrace sync {where.parent} {goal}"
        if self._writer.held:
            said += (
                f" There is no room in {self.places[0]} for {self._writer.held:,} of them: they "
                "are lost when the program ends."
            )
        return said

    def close(self) -> None:
        """Let go of the log; what is in it goes on its way."""
        self._pulse.stop()
        self._writer.close()

    def _opened(self, folder: Path) -> None:
        self._pulse.start(folder)

    def _check_params(self, request: LogBatch) -> None:
        """Refuse a parameter that this process has given another value."""
        if not request.params:
            return
        known = self._params.get(request.run_id)
        if known is None:
            while len(self._params) >= REMEMBERED_RUNS:
                self._params.pop(next(iter(self._params)))
            known = self._params[request.run_id] = {}
        for param in request.params:
            earlier = known.get(param.key)
            if earlier is not None and earlier != param.value:
                raise InvalidRequest(
                    f"The parameter '{param.key}' of this run is {_shown(earlier)} and cannot "
                    f"become {_shown(param.value)}: a parameter is written once. Use another key, "
                    "a tag, or a nested run."
                )
        for param in request.params:
            known[param.key] = param.value


class LiveFile:
    """A file that is added to piece by piece; a piece survives the death of the process."""

    def __init__(self, outbox: Outbox, folder: Path, run_id: str, path: str) -> None:
        self._outbox = outbox
        self._run_id = run_id
        self._path = path
        self._file = folder / "live" / run_id / path
        self._file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(self._file, flags, 0o600)
        self._pid = os.getpid()

    def write(self, data: bytes) -> None:
        """Add `data`. Raises OSError (disk full, …)."""
        if self._descriptor >= 0:
            os.write(self._descriptor, data)

    def close(self) -> None:
        """Say that the file is whole. A forked child's copy leaves the parent's as it is."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if self._pid == os.getpid():
            self._outbox.close_live_file(self._run_id, self._path, self._file)


class _Registry:
    """The outboxes of this process by tracking URI."""

    def __init__(self) -> None:
        self.outboxes: dict[str, Outbox] = {}
        self.lock = threading.Lock()
        self.opened: Callable[[], None] = lambda: None

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        for outbox in self.outboxes.values():
            outbox.after_fork()


_registry: Final = _Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_registry.after_fork)


def outbox_for(uri: str) -> Outbox:
    """The outbox of a tracking URI in this process."""
    found = _registry.outboxes.get(uri)
    if found is None:
        with _registry.lock:
            found = _registry.outboxes.get(uri)
            if found is None:
                found = _registry.outboxes[uri] = Outbox(uri)
        _registry.opened()
    return found


def when_opened(hook: Callable[[], None]) -> None:
    """Call `hook` whenever this process begins to log somewhere."""
    _registry.opened = hook


def flush_all(timeout: float | None = None, *, patient: bool = False) -> bool:
    """Flush every outbox of this process, one after the other."""
    outboxes = list(_registry.outboxes.values())
    flushed = [outbox.flush(timeout, patient=patient) for outbox in outboxes]
    return all(flushed)


def flush_at_exit(timeout: float | None = None) -> None:
    """Give what was logged the time it needs, within limits, and say what is left where.

    Ctrl-C ends the waiting: what is left is the sender's.
    """
    waits = True
    for outbox in list(_registry.outboxes.values()):
        with suppress(HeadraceError, OSError):
            try:
                if waits:
                    outbox.flush_at_exit(timeout)
            except KeyboardInterrupt:
                waits = False
            for line in outbox.refusals(news=True):
                _log.warning("%s", line)
            outbox.say_what_is_left()


def close_outboxes() -> None:
    """Let go of all logs; they are begun anew when they are needed."""
    for uri in list(_registry.outboxes):
        _registry.outboxes.pop(uri).close()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _is_about(error: OSError, folder: Path) -> bool:
    """Whether an error is about our copy, rather than about the file that was to be copied."""
    return error.filename is None or str(error.filename).startswith(str(folder))
