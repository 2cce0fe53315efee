"""The sender: a small process that delivers the journals of one destination.

    python -m headrace.client.sender FOLDER …     (FOLDER: a place for journals; more are read too)

It is started by the first process that logs, and lives on its own: in a session of its own, so that
Ctrl-C in a terminal does not reach it, and after the training that started it has died. One lock
per folder sees to it that there is one. Why a process: a busy thread beside a training loop makes
single calls take milliseconds, because the two take turns at the interpreter's lock.

Once in half a second, or at once when somebody waits (a byte in the pipe `wake`), it reads all logs
and delivers what is new. While the server cannot be reached it tries again, in pauses that double
up to half a minute. It leaves when there has been no writer and nothing to send for a while.
"""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.artifacts.open import ArtifactPlace, default_artifact_root, open_artifacts
from headrace.client.delivery import Delivery, NotThereYet
from headrace.client.ledger import Ledger, SenderState
from headrace.client.sender_process import LOCK, Wake, detach, read_task
from headrace.client.stream import Stream
from headrace.client.uploads import Upload, Uploader
from headrace.errors import (
    EndpointNotFound,
    HeadraceError,
    InvalidRequest,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from headrace.journal import folder as layout
from headrace.journal.reader import JournalReader
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID, ExperimentRef
from headrace.store.base import Store

PERIOD: Final = 0.5
"""Seconds between two deliveries when nobody waits."""
LIVE_PERIOD: Final = 2.0
"""Seconds between two uploads of a file that is still being written."""
SAVE_PERIOD: Final = 1.0
"""Seconds between two times that logs are forced to disk: what a power cut can take."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
SHORTEST_PAUSE: Final = 0.2
"""Seconds between two attempts when somebody waits for the second."""
REQUEST_SECONDS: Final = 30.0
"""Seconds that one request may take: a server that hangs is noticed by then."""
PATIENCE: Final = 600.0
"""Seconds that a sender goes on trying when all who logged are dead; the next one goes on."""
INSISTS_AFTER: Final = 8
INSISTS_SECONDS: Final = 60.0
"""Errors inside the server in a row, over so long, after which the request counts as refused."""
LOCKED_OUT_AFTER: Final = 4
"""Refusals of the credentials in a row after which a sender makes way for one with other ones."""
SETTLED_AFTER: Final = 3.0
"""Seconds after which a run that no log creates counts as not there."""


class Sender:
    """Delivers the logs in `folders`; the first of them holds the lock and the ledger."""

    def __init__(
        self,
        folders: Sequence[Path],
        uri: str,
        open_store: Callable[[str], Store],
        keeps_ids: Callable[[Store], bool],
    ) -> None:
        self.folders = list(folders)
        self.ledger = Ledger(self.folders[0])
        self._uri = uri
        self._open_store = open_store
        self._keeps_ids = keeps_ids
        self._delivery: Delivery | None = None
        self._wake = Wake(self.folders[0])
        self._uploader = Uploader(self._place_of, self._wake.poke, self._upload_may_pass)
        self.streams: dict[str, Stream] = {}
        self._missing: dict[str, float] = {}
        self.failures = 0
        self.reason = ""
        self._failing_since = 0.0
        self._is_locked_out = False
        self._try_at = 0.0
        self._tried_at = 0.0
        self._saved_at = 0.0
        self._live_at = 0.0
        self._upload_failures = 0
        self._upload_at = 0.0

    def run(self, linger: float, lock: layout.Lock) -> None:
        """Deliver until there is nothing to do for `linger` seconds, or `lock`, by which no other
        does it, is lost.
        """
        self._note()
        idle_since = time.monotonic()
        while lock.is_held:
            busy = self.work()
            now = time.monotonic()
            streams = self.streams.values()
            if any(stream.reader.writer_is_alive() for stream in streams):
                idle_since = now
            if streams and not self.failures:
                idle_since = now
            if now - idle_since >= (PATIENCE if self.streams else linger) or self._is_locked_out:
                break
            if not busy:
                self._rest()
        self.close()

    def drain(self, progress: Callable[[int], None] = lambda _: None) -> HeadraceError | None:
        """Deliver all there is now; the fault that stopped it, if one did.

        `progress` is told, now and then, how many bytes of the logs are left.
        """
        borne = 0
        while True:
            moved = self.work()
            progress(self.backlog())
            failures = max(self.failures, self._upload_failures)
            # An artifact may wait for its run, which lies behind all that still moves.
            borne = failures if moved else min(borne, failures)
            if failures - borne >= 3:
                return HeadraceError(self.reason)
            # A log whose writer is dead is done when it has been cleared up.
            if not moved and all(
                stream.is_idle()
                and stream.live_files_are_done()
                and stream.reader.writer_is_alive()
                for stream in self.streams.values()
            ):
                return None
            if not moved:
                self._rest()

    @property
    def delivery(self) -> Delivery:
        """What delivers to the destination. Raises what opening that raises."""
        return self._open_delivery()

    @property
    def is_open(self) -> bool:
        """Whether the destination has been opened: whether there was anything to deliver."""
        return self._delivery is not None

    def find(self) -> None:
        """Look for logs; those that another sender reads are not among `streams`."""
        self._find_streams()

    def backlog(self) -> int:
        """Bytes of the logs that have not been dealt with."""
        return sum(
            max(0, stream.reader.tail() - max(stream.reader.acknowledged, 16))
            for stream in self.streams.values()
        )

    def close(self) -> None:
        """Let go of all logs and of the store."""
        for stream in self.streams.values():
            stream.reader.close()
        self.streams.clear()
        if self._delivery is not None:
            self._delivery.store.close()
        self._wake.close()

    def work(self) -> bool:
        """One round over all logs; whether anything moved."""
        self._find_streams()
        moved = False
        if self._may_try():
            self._tried_at = time.monotonic()
            self._wake.was_poked = False
            try:
                moved = self._deliver()
            except HeadraceError as error:
                self._failed(error.message)
                self._is_locked_out = (
                    isinstance(error, Unauthenticated) and self.failures >= LOCKED_OUT_AFTER
                )
            except Exception as error:  # noqa: BLE001 - what is logged must not wait for our bugs
                traceback.print_exc()
                self._failed(f"{type(error).__name__}: {error}")
        self._save_to_disk()
        for name, stream in list(self.streams.items()):
            if stream.is_finished():
                if stream.reader.damage:
                    self.ledger.note_unreadable(name, b"", stream.reader.damage)
                stream.remove()
                del self.streams[name]
        return moved

    def _find_streams(self) -> None:
        for folder in self.folders:
            for path in layout.writers(folder):
                if path.name in self.streams or not layout.may_be_read_here(path):
                    continue
                reader = JournalReader(path)
                # A log that vanishes or is another's meanwhile is not ours to read.
                with suppress(OSError):
                    if reader.claim():
                        self.streams[path.name] = Stream(reader, self._uploader, self.folders)

    def _deliver(self) -> bool:
        delivery = self._open_delivery()
        lasted = time.monotonic() - self._failing_since
        delivery.insists = self.failures >= INSISTS_AFTER and lasted >= INSISTS_SECONDS
        moved = False
        ill: Exception | None = None
        for stream in list(self.streams.values()):
            try:
                moved |= self._advance(stream, delivery)
            except (Unavailable, TooManyRequests, Unauthenticated):
                raise
            except Exception as error:  # noqa: BLE001  (raised below: first the other logs' turn)
                ill = ill or error
        if ill is not None:
            raise ill
        if self.failures:
            self.failures, self.reason, self._try_at = 0, "", 0.0
            self._note()
        self._look_after_uploads()
        return moved

    def _advance(self, stream: Stream, delivery: Delivery) -> bool:
        """Deliver what is next in one log; whether anything moved."""
        moved = False
        try:
            moved = stream.advance(delivery, partial(self._others, stream))
            moved |= stream.settle(delivery)
            stream.misses = ""
        except NotThereYet as missing:
            stream.misses = missing.run_id
            self._missing.setdefault(missing.run_id, time.monotonic())
        except OSError:
            if stream.reader.folder.exists():
                raise
            stream.remove()  # somebody removed it: there is nothing left to deliver
            del self.streams[stream.name]
        return moved

    def _look_after_uploads(self) -> None:
        now = time.monotonic()
        streams = self.streams.values()
        if now - self._live_at >= LIVE_PERIOD:
            self._live_at = now
            for stream in streams:
                stream.upload_live_files()
        fault = next((fault for s in streams if (fault := s.fault()) is not None), None)
        if fault is None:
            if self._upload_failures and not any(stream.waiting for stream in streams):
                self._upload_failures = 0
                self._note()
        elif now >= self._upload_at:
            # Values go on meanwhile: artifacts may go to another place, which has its own troubles.
            self._upload_failures += 1
            self._upload_at = now + _pause(self._upload_failures)
            self.reason = fault.message
            self._note()
            for stream in streams:
                stream.retry()

    def _open_delivery(self) -> Delivery:
        if self._delivery is None:
            store = self._open_store(self._uri)
            self._delivery = Delivery(
                store,
                self.ledger,
                keeps_ids=lambda: self._keeps_ids(store),
                is_settled=self._is_settled,
            )
        return self._delivery

    def _is_settled(self, run_id: str) -> bool:
        """Whether all logs have been read since a run was first missed, and some time went by.

        A log that itself waits for a run is not read on, and not waited for.
        """
        since = self._missing.get(run_id)
        if since is None or time.monotonic() - since < SETTLED_AFTER:
            return False
        if any(s.caught_up_at < since and not s.misses for s in list(self.streams.values())):
            return False
        if len(self._missing) > 1000:
            self._missing.clear()
        return True

    def _others(self, stream: Stream) -> list[tuple[Stream, int]]:
        """The other logs, new ones too, and how far each has been written by now."""
        self._find_streams()
        return [(s, s.reader.tail()) for s in self.streams.values() if s is not stream]

    def _place_of(self, run_id: str) -> ArtifactPlace:
        """Where the artifacts of a run go. Raises Unavailable while the run may yet come."""
        try:
            uri = self._open_delivery().artifact_uri(run_id)
        except NotFound as error:
            self._missing.setdefault(run_id, time.monotonic())
            if self._is_settled(run_id):
                raise
            raise Unavailable(f"The run '{run_id}' is not there yet.") from error
        return open_artifacts(uri, self._uri)

    def _upload_may_pass(self, error: HeadraceError, upload: Upload) -> bool:
        delivery = self._open_delivery()
        if type(error) is HeadraceError and upload.failures >= INSISTS_AFTER:
            return not delivery.answers(upload.run_id)
        return delivery.may_pass(error, upload.run_id)

    def _may_try(self) -> bool:
        now = time.monotonic()
        if now >= self._try_at:
            return True
        return self._wake.was_poked and now - self._tried_at >= SHORTEST_PAUSE

    def _failed(self, reason: str) -> None:
        if not self.failures:
            self._failing_since = time.monotonic()
        self.failures += 1
        self.reason = reason
        self._try_at = time.monotonic() + _pause(self.failures)
        self._note()

    def _note(self) -> None:
        with suppress(OSError):  # a full disk must not stop what frees it
            failures = self.failures + self._upload_failures
            self.ledger.note_state(SenderState(os.getpid(), failures, self.reason))

    def _save_to_disk(self) -> None:
        now = time.monotonic()
        if now - self._saved_at >= SAVE_PERIOD:
            self._saved_at = now
            for stream in self.streams.values():
                with suppress(OSError):
                    stream.reader.save_to_disk()

    def _rest(self) -> None:
        until = self._try_at - time.monotonic() if self.failures else PERIOD
        if self.failures and self._wake.was_poked:
            until = SHORTEST_PAUSE
        self._wake.wait(max(0.01, min(until, PERIOD)))


def _pause(failures: int) -> float:
    """Seconds before the next attempt, after so many that failed."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (spreads senders, guards nothing)


def open_destination(uri: str) -> Store:
    """The store that a sender delivers to: requests are tried once, the sender has the patience."""
    if uri.startswith("http"):
        from headrace.store.rest import store_over
        from headrace.transport import Transport

        timeout = min(REQUEST_SECONDS, settings.HTTP_TIMEOUT.get_float(REQUEST_SECONDS))
        return store_over(Transport(uri, timeout=timeout, max_retries=0))
    from headrace.store.open import open_store

    return open_store(uri, artifact_root=str(default_artifact_root(uri)))


def keeps_run_ids(uri: str) -> bool:
    """Whether runs can be created at `uri` under ids of our own: not on a plain MLflow server."""
    if not uri.startswith("http"):
        return True
    from headrace.protocol import server_info
    from headrace.store.rest import store_over
    from headrace.transport import Transport

    transport = Transport(uri, max_retries=0)
    try:
        with transport.open("GET", "/api" + server_info.GET.path, resend=True) as answer:
            if b'"headrace_version"' in answer.data:
                return True
    except NotFound:
        pass  # an older MLflow
    try:
        # A proxy whose server is away answers all kinds of things: this only MLflow answers.
        store_over(transport).experiments.get(ExperimentRef(experiment_id=DEFAULT_EXPERIMENT_ID))
    except NotFound as error:
        if isinstance(error, EndpointNotFound):
            raise
    finally:
        transport.close()
    return False


def main(arguments: Iterable[str]) -> int:
    """Be the sender of these folders, unless there is one; what to do stands on standard input."""
    folders = [Path(text) for text in arguments]
    try:
        task = read_task()
    except InvalidRequest as error:  # whoever started us may have been killed while it told us
        sys.exit(error.message)
    if not detach():
        return 0
    lock = layout.Lock(folders[0] / LOCK)
    # Somebody who only looks whether there is a sender holds it for an instant.
    if not lock.take():
        time.sleep(SHORTEST_PAUSE)
        if not lock.take():
            return 0
    with suppress(OSError):
        os.nice(5)  # training comes first
    sender = Sender(folders, task.uri, open_destination, lambda _: keeps_run_ids(task.uri))
    try:
        sender.run(task.linger, lock)
    finally:
        lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
