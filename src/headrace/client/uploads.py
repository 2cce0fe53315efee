"""Uploads of a sender: artifacts travel beside the values, so that a large one holds up none.

Two threads, one for small files and one for large ones. Two versions of one artifact go one after
the other. An upload that met a passing fault says so; the sender queues it again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headrace.artifacts.open import ArtifactPlace
from headrace.errors import HeadraceError, NotFound

LARGE: Final = 8 * 1024 * 1024
"""Bytes from which a file goes with the large ones."""


class Upload:
    """One file on its way. `is_done` once it has arrived or was refused for good."""

    def __init__(self, run_id: str, path: str, file: Path) -> None:
        self.run_id = run_id
        self.path = path
        self.file = file
        self.is_done = False
        self.failures = 0
        self.fault: HeadraceError | None = None
        self.refused: HeadraceError | None = None


class Uploader:
    """Uploads files to where `place_of` says; calls `arrived` after each, from its threads.

    `may_pass` tells of an error whether the upload is worth another try.
    """

    def __init__(
        self,
        place_of: Callable[[str], ArtifactPlace],
        arrived: Callable[[], None],
        may_pass: Callable[[HeadraceError, Upload], bool],
    ) -> None:
        self._place_of = place_of
        self._arrived = arrived
        self._may_pass = may_pass
        self._queues: list[queue.SimpleQueue[Upload]] = []
        self._under_way: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def submit(self, upload: Upload) -> None:
        """Queue an upload, behind an earlier one of the same artifact."""
        if not self._queues:
            self._queues = [queue.SimpleQueue(), queue.SimpleQueue()]
            for index in range(2):
                threading.Thread(
                    target=self._work, args=(index,), name="headrace-uploads", daemon=True
                ).start()
        upload.fault = None
        key = (upload.run_id, upload.path)
        try:
            size = upload.file.stat().st_size
        except OSError:
            size = 0
        with self._lock:
            index = self._under_way.get(key, int(size >= LARGE))
            self._under_way[key] = index
        self._queues[index].put(upload)

    def _work(self, index: int) -> None:
        while True:
            upload = self._queues[index].get()
            try:
                self._send(upload)
            except HeadraceError as error:
                upload.failures += 1
                if self._may_pass(error, upload):
                    upload.fault = error
                else:
                    upload.refused = error
                    upload.is_done = True
            except Exception as error:  # noqa: BLE001  (a thread that died would hold up all)
                upload.fault = HeadraceError(f"{type(error).__name__}: {error}")
            else:
                upload.is_done = True
            with self._lock:
                if self._queues[index].empty():
                    self._under_way.pop((upload.run_id, upload.path), None)
            self._arrived()

    def _send(self, upload: Upload) -> None:
        from headrace.artifacts.transfer import upload_file

        if not upload.file.exists():
            return  # it arrived before, and the one who sent it died before saying so
        place = self._place_of(upload.run_id).below(upload.path)
        try:
            upload_file(place.store, upload.file, place.path)
        except NotFound:
            if upload.file.exists():
                raise
