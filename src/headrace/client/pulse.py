"""The outbox's background thread: it keeps a sender running and says what a person should know.

Once a second, and asleep in between: is there a sender, can it reach the server, did the server
refuse something? What it says, it says as a warning of the logger "headrace", at most once a minute
where it would repeat itself.
"""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.client import sender_process
from headrace.client.ledger import Ledger, Refusal, SenderState
from headrace.client.places import without_credentials
from headrace.journal import folder as layout
from headrace.journal import segment
from headrace.journal.reader import JournalReader
from headrace.journal.writer import JournalWriter, Mark

_log: Final = logging.getLogger("headrace")
PERIOD: Final = 1.0
REPEAT: Final = 60.0
"""Seconds before the same warning is given again."""
SPAWN_PAUSE: Final = 5.0
"""Seconds after a sender was started before another one is."""
_MOST_LINES: Final = 5
_MOST_TOLD: Final = 1000


class Pulse:
    """Looks after the sender of one destination while this process logs."""

    def __init__(self, uri: str, places: list[Path]) -> None:
        self._uri = uri
        self._places = places
        self._writer: JournalWriter | None = None
        self.forget()

    def forget(self) -> None:
        """As if nothing had happened yet: how a forked child begins, which has no such thread."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._home: Path | None = None
        self._ledger: Ledger | None = None
        self._thread: threading.Thread | None = None
        self._awake = threading.Event()
        self._stopped = False
        self._spawned_at = -SPAWN_PAUSE
        self._spawning = threading.Lock()
        self._warned_at: dict[str, float] = {}
        self._refused_read = 0
        self._told: set[tuple[str, str]] = set()
        self._names: set[str] = set()
        self._was_away = False
        self._saved: JournalReader | None = None
        self._is_child = False
        self._lost_told = 0

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.forget()
        self._is_child = True

    def watch(self, writer: JournalWriter) -> None:
        """Look after this writer too: what it holds in memory, what it lost."""
        self._writer = writer

    def start(self, folder: Path) -> None:
        """Begin, for a log that was opened in `folder`; nothing else than a thread is started."""
        with self._lock:
            self._names.add(folder.name)
            if self._home is None:
                first = self._places[0]
                self._home = first if os.access(first, os.W_OK) else folder.parent
                self._ledger = Ledger(self._home)
                self._refused_read = self._ledger.refused_bytes()
                with suppress(OSError):  # then headrace sync has to be told
                    self._ledger.note_destination(without_credentials(self._uri))
        self.begin()

    def begin(self) -> None:
        """Start the thread, if it does not run yet."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="headrace", daemon=True)
                with suppress(RuntimeError):  # the interpreter is on its way out
                    self._thread.start()

    def stop(self) -> None:
        """End the thread, soon."""
        self._stopped = True
        self._awake.set()

    def tell_of_losses(self) -> None:
        """Say how much is lost because there was room for it nowhere."""
        lost = self._writer.lost if self._writer is not None else 0
        said = f"{lost:,} records are lost: there was no room for them anywhere."
        if lost > self._lost_told and self.warn(said, "lost"):
            self._lost_told = lost

    def look_after_log(self) -> None:
        """Make the log of this process anew where somebody removed it."""
        writer = self._writer
        with suppress(OSError):  # there is no room for it: it goes on where it is
            if writer is not None and writer.rescue():
                self.warn(
                    f"Somebody removed this program's journal from {self._places[0]}. It is begun "
                    f"anew in {writer.folder}; values that had left memory may be lost.",
                    "removed",
                )

    def wait_for(self, mark: Mark, timeout: float, *, patient: bool) -> bool:
        """Return when everything up to `mark` is delivered; False when it is not in time."""
        deadline = time.monotonic() + timeout
        first = self._state()
        pause, poked_at, looked_at = 0.0005, -1.0, time.monotonic()
        while not mark.is_reached():
            now = time.monotonic()
            if now >= deadline or self._home is None:
                return False
            if now - poked_at >= 0.5:
                poked_at = now
                self._ensure_sender()
                sender_process.poke(self._home)
            if now - looked_at >= 0.05:
                looked_at = now
                mark = self._with_what_was_held(mark)
                if not patient and has_failed_since(self._state(), first):
                    return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        return True

    def _with_what_was_held(self, mark: Mark) -> Mark:
        """The same mark, or a later one once what was held in memory is in the log."""
        writer = self._writer
        if mark.held and writer is not None and writer.settle():
            return writer.mark()
        return mark

    def reason(self) -> str:
        """Why nothing can be delivered now; empty when nothing is known to be wrong."""
        state = self._state()
        return state.reason.rstrip(".") if state is not None and state.failures else ""

    def warn(self, message: str, topic: str | None = None) -> bool:
        """Say something, unless it was said within the last minute; whether it was said now."""
        topic = topic or message
        now = time.monotonic()
        if now - self._warned_at.get(topic, -REPEAT) < REPEAT:
            return False
        self._warned_at[topic] = now
        _log.warning("%s", message)
        return True

    def take_refusals(self, *, news: bool = False) -> list[str]:
        """What the server refused of this process since this was asked last, in a few lines.

        With `news` only what was not told of before: a run that is gone refuses everything, for as
        long as the program goes on.
        """
        with self._lock:
            ledger = self._ledger
            if ledger is None or ledger.refused_bytes() <= self._refused_read:
                return []
            since, self._refused_read = self._refused_read, ledger.refused_bytes()
            found = [
                each
                for each in ledger.refusals(since, self._refused_read)
                if each.writer in self._names
            ]
        new = [each for each in found if self._is_news(each) or not news]
        where = without_credentials(self._uri)
        lines = [
            f"{where} refused {each.what} (run {each.run_id}): {each.reason} "
            f"It is set aside in {self._home}; headrace sync shows and repeats it."
            for each in new[:_MOST_LINES]
        ]
        if len(new) > _MOST_LINES:
            lines.append(f"{where} refused {len(new) - _MOST_LINES} more; headrace sync shows all.")
        return lines

    def _is_news(self, refused: Refusal) -> bool:
        """Whether a refusal of this run for this reason was not told of before."""
        reason = (refused.run_id, refused.reason)
        if reason in self._told:
            return False
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told.add(reason)
        return True

    def count_left(self, writer: JournalWriter) -> str:
        """How much of this process's log is not delivered, in words."""
        count = writer.held
        folder = writer.folder
        if folder is not None:
            progress = layout.Progress(folder)
            begin = progress.position
            progress.close()
            for path in layout.segment_files(folder, segment.SUFFIX):
                with suppress(OSError, segment.Damaged):
                    reader = segment.SegmentReader(path)
                    count += sum(record.end > begin for record in reader.read(reader.size))
                    reader.close()
        return f"{count:,} record{'' if count == 1 else 's'}"

    def _run(self) -> None:
        while not self._stopped and self._pid == os.getpid():
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001  (a thread that died could not look after anything)
                self.warn(f"Headrace has trouble with its journal: {error}", "beat")
            self._awake.wait(PERIOD)

    def _beat(self) -> None:
        writer = self._writer
        assert writer is not None
        if writer.held:
            writer.settle()
        self.look_after_log()
        if writer.trouble is not None:
            full = writer.trouble.errno in (errno.ENOSPC, errno.EDQUOT)
            said = "There is no room for the journal" if full else "No journal can be written"
            self.warn(
                f"{said} in {self._places[0]} ({writer.trouble.strerror or writer.trouble}): what "
                "is logged is held in memory until it is sent, as far as there is room.",
                "room",
            )
        self.tell_of_losses()
        for line in self.take_refusals(news=True):
            _log.warning("%s", line)
        if settings.OFFLINE.get_bool(False):
            self._save_to_disk(writer)
        elif not writer.mark().is_reached():
            self._ensure_sender()
            self._tell_of_the_server()

    def _save_to_disk(self, writer: JournalWriter) -> None:
        """Do what else the sender does: what is logged survives a power cut from now on."""
        if writer.folder is None:
            return
        if self._saved is None or self._saved.folder != writer.folder:
            self._saved = JournalReader(writer.folder)
        with suppress(OSError):
            self._saved.save_to_disk()

    def _tell_of_the_server(self) -> None:
        if self._is_child:
            return  # the parent does
        state = self._state()
        if state is None or state.failures < 2:
            if self._was_away and state is not None and state.failures == 0:
                self._was_away = False
                _log.info("%s can be reached again.", without_credentials(self._uri))
            return
        self._was_away = True
        self.warn(
            f"{without_credentials(self._uri)} cannot take what is logged now: {state.reason} "
            f"The program goes on; everything is kept in {self._home} and sent when it can.",
            "away",
        )

    def _state(self) -> SenderState | None:
        return self._ledger.state() if self._ledger is not None else None

    def _ensure_sender(self) -> None:
        home = self._home
        if home is None or settings.OFFLINE.get_bool(False):
            return
        if not self._spawning.acquire(blocking=False):
            return  # another thread is at it; whoever waits for delivery has a time limit
        try:
            if time.monotonic() - self._spawned_at < SPAWN_PAUSE:
                return
            if sender_process.is_running(home):
                return
            self._spawned_at = time.monotonic()
            sender_process.start([home, *(p for p in self._places if p != home)], self._uri)
        except (OSError, subprocess.SubprocessError) as error:
            self.warn(
                f"The program that sends what is logged could not be started ({error}). "
                f"Everything is kept in {home}.",
                "spawn",
            )
        finally:
            self._spawning.release()


def has_failed_since(state: SenderState | None, first: SenderState | None) -> bool:
    """Whether a sender tried, and failed, after it was in the state `first`."""
    if state is None or not state.failures:
        return False
    return first is None or state.pid != first.pid or state.failures != first.failures
