"""One log on its way: what has been read of it, what has been delivered, what still waits.

Values are delivered in the order they were logged. Two kinds of entries wait, and the position up
to which the log counts as dealt with waits with them: artifacts, until they are uploaded, and
changes of a run's status. The end of a run waits until its artifacts are there, and until what
other processes had logged by then is delivered too: the end never overtakes a value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace.client.delivery import Deferred, Delivery
from headrace.client.entries import ArtifactLogged, RunUpdated
from headrace.client.uploads import Upload, Uploader
from headrace.errors import HeadraceError
from headrace.journal.reader import JournalReader
from headrace.protocol.runs import RunStatus

_RUNNING = (None, RunStatus.RUNNING, RunStatus.SCHEDULED)


class Waiting:
    """A deferred entry: an upload, or an update with the other logs that it waits for.

    Of each of those it needs what was there when it came: up to a position, or all, once that log
    has been read to its end at a later moment.
    """

    def __init__(
        self, deferred: Deferred, upload: Upload | None, others: Sequence[tuple[Stream, int]]
    ) -> None:
        self.start = deferred.start
        self.entry = deferred.entry
        self.upload = upload
        self.since = time.monotonic()
        self.others = others

    def is_overtaking(self) -> bool:
        """Whether another log may still hold something that was logged before this."""
        return any(
            other.delivered < position and other.caught_up_at <= self.since and not other.is_gone
            for other, position in self.others
        )


class Stream:
    """The log in a folder. The sender's own thread only."""

    def __init__(
        self, reader: JournalReader, uploader: Uploader, roots: Sequence[Path] = ()
    ) -> None:
        self.reader = reader
        self._roots = [reader.folder, *roots]
        self.name = reader.folder.name
        self._uploader = uploader
        self._uploads: dict[str, Upload] = {}
        self._live: dict[Path, tuple[int, Upload]] = {}
        self.waiting: list[Waiting] = []
        self.delivered = reader.acknowledged
        self.caught_up_at = -1.0
        """When reading last found nothing new (monotonic seconds)."""
        self.misses = ""
        """The run that it cannot go on without, which another log may create."""
        self.is_gone = False
        self._is_at_tail = False
        self._is_complete = False

    def advance(
        self, delivery: Delivery, others: Callable[[], Sequence[tuple[Stream, int]]]
    ) -> bool:
        """Deliver the next records; whether there were any. Raises as `Delivery.deliver` does.

        `others` gives the other logs and their ends, when the end of a run has to know them.
        """
        # Asked before reading: what a writer wrote before it died is then read for certain.
        was_dead = self._is_at_tail and not self.reader.writer_is_alive()
        now = time.monotonic()
        records = self.reader.read()
        self._is_at_tail = not records
        self._is_complete = not records and was_dead
        if not records:
            self.caught_up_at = now
            return False
        try:
            deferred = delivery.deliver(self.name, records, self.delivered)
        except BaseException:
            self.rewind()
            raise
        self.delivered = records[-1].end
        for each in deferred:
            self._defer(each, others)
        return True

    def rewind(self) -> None:
        """Begin again where the log has been dealt with; uploads under way go on."""
        self.reader.rewind()
        self.waiting = []
        self.delivered = self.reader.acknowledged
        self._is_at_tail = self._is_complete = False

    def settle(self, delivery: Delivery) -> bool:
        """Deliver what has waited long enough and move on; whether anything moved.

        Raises a passing HeadraceError.
        """
        busy: set[str] = set()
        left: list[Waiting] = []
        moved = False
        queue, self.waiting = self.waiting, left
        try:
            while queue:
                each = queue[0]
                if self._may_go(each, busy):
                    if each.upload is None:
                        delivery.apply(self.name, each.entry)
                    else:
                        self._finish(each.upload, each.entry, delivery)
                    moved = True
                else:
                    busy.add(_run_of(each))
                    left.append(each)
                del queue[0]
        finally:
            left.extend(queue)
        self.reader.acknowledge(left[0].start if left else self.delivered)
        return moved

    def upload_live_files(self) -> None:
        """Upload what grew of files that are still being written, such as the console's."""
        for file in _files_below(self.reader.folder / "live"):
            size = file.stat().st_size if file.exists() else 0
            sent, upload = self._live.get(file, (-1, None))
            if size == sent or (upload is not None and not upload.is_done and not upload.fault):
                continue
            run_id, _, path = (
                file.relative_to(self.reader.folder / "live").as_posix().partition("/")
            )
            upload = Upload(run_id, path, file)
            self._live[file] = (size, upload)
            self._uploader.submit(upload)

    def live_files_are_done(self) -> bool:
        """Whether what is there of those files has been uploaded, or can never be."""
        for file in _files_below(self.reader.folder / "live"):
            sent, upload = self._live.get(file, (-1, None))
            if upload is None or not upload.is_done:
                return False
            if upload.refused is None and file.exists() and file.stat().st_size != sent:
                return False
        return True

    def fault(self) -> HeadraceError | None:
        """What an upload met that may pass; it is queued again with the next `retry`."""
        return next((u.fault for u in self._all_uploads() if u.fault is not None), None)

    def retry(self) -> None:
        """Queue uploads again that met a passing fault."""
        for upload in self._all_uploads():
            if upload.fault is not None:
                self._uploader.submit(upload)

    def is_idle(self) -> bool:
        """Whether everything that is there has been dealt with."""
        return self._is_at_tail and not self.waiting

    def is_finished(self) -> bool:
        """Whether its writer is dead and nothing of it is left to do."""
        return self._is_complete and not self.waiting and self.live_files_are_done()

    def remove(self) -> None:
        """Remove a log that is finished."""
        self.is_gone = True
        self.reader.remove()

    def _all_uploads(self) -> list[Upload]:
        return [*self._uploads.values(), *(upload for _, upload in self._live.values())]

    def _defer(
        self, deferred: Deferred, others: Callable[[], Sequence[tuple[Stream, int]]]
    ) -> None:
        entry = deferred.entry
        if isinstance(entry, ArtifactLogged):
            upload = self._uploads.get(entry.file)
            if upload is None:
                file = self._inside(entry.file)
                upload = self._uploads[entry.file] = Upload(entry.run_id, entry.path, file)
                self._uploader.submit(upload)
            self.waiting.append(Waiting(deferred, upload, ()))
            return
        assert isinstance(entry, RunUpdated)
        ends = entry.request.status not in _RUNNING
        self.waiting.append(Waiting(deferred, None, others() if ends else ()))

    def _inside(self, name: str) -> Path:
        """A file of this log. A log that came from elsewhere must not name others' files."""
        folder = self.reader.folder
        file = folder / name
        if any(file.is_relative_to(root) for root in self._roots) and ".." not in file.parts:
            return file
        return folder / "files" / "none"

    def _may_go(self, each: Waiting, busy: set[str]) -> bool:
        if each.upload is not None:
            return each.upload.is_done
        return _run_of(each) not in busy and not each.is_overtaking()

    def _finish(self, upload: Upload, entry: object, delivery: Delivery) -> None:
        assert isinstance(entry, ArtifactLogged)
        self._uploads.pop(entry.file, None)
        if upload.refused is not None:
            # The file goes with the note, so that it can be sent again.
            kept = delivery.ledger.keep_file(self.name, upload.file)
            entry = ArtifactLogged(entry.run_id, entry.path, kept)
            delivery.refuse(self.name, entry.run_id, entry, upload.refused)
        upload.file.unlink(missing_ok=True)
        self._live.pop(upload.file, None)


def _run_of(each: Waiting) -> str:
    entry = each.entry
    if isinstance(entry, ArtifactLogged):
        return entry.run_id
    assert isinstance(entry, RunUpdated)
    return entry.request.run_id


def _files_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_file())
