"""What a run notes, by itself, about what made it; every part has a switch.

Tags that are read at once are in `context`; all that takes longer is done here, in the background:
nothing of it makes the caller wait, raises, or runs for long once the run has ended.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Final, Protocol

from headrace.client.console import LiveFile, console
from headrace.client.context import DIRTY_TAG, GPU_TAG, checkout
from headrace.client.git import Checkout, Uncommitted, uncommitted
from headrace.client.switches import Switches, switches
from headrace.client.system_metrics import sampler
from headrace.errors import InvalidRequest
from headrace.forks import undivided
from headrace.protocol.wire import Tag

PACKAGES_FILE: Final = "headrace/packages.txt"
CHANGES_FILE: Final = "headrace/uncommitted.diff"
END_SECONDS: Final = 3.0
"""How long the end of a run waits for what its beginning set going."""
FRESH_SECONDS: Final = 60.0
"""For so long the uncommitted changes of a commit are taken to be the same."""
_log: Final = logging.getLogger("headrace")


class CaptureClient(Protocol):
    """What is needed of a client."""

    def log_text(self, run_id: str, text: str, artifact_file: str) -> Any:
        """See ArtifactCalls."""
        ...

    def log_batch(self, run_id: str, metrics: Any = ..., params: Any = ..., tags: Any = ...) -> Any:
        """See RunCalls."""
        ...

    def get_run(self, run_id: str) -> Any:
        """See RunCalls."""
        ...

    def get_metric_history(self, run_id: str, key: str) -> Any:
        """See RunCalls."""
        ...

    def live_file(self, run_id: str, artifact_path: str) -> LiveFile:
        """An artifact that grows; see LiveFile."""
        ...


def begin(
    client: CaptureClient,
    run_id: str,
    log_system_metrics: bool | None = None,
    *,
    resumed: bool = False,
) -> None:
    """Note what makes a run that has just begun, as far as it is switched on. Never raises.

    `log_system_metrics` overrides its switch. A `resumed` run keeps what it noted at first of
    packages and uncommitted changes; its console and system metrics go on.
    """
    try:
        wanted = _switches()
        if wanted.console:
            console.begin(run_id, lambda path: client.live_file(run_id, path))
        if wanted.system_metrics if log_system_metrics is None else log_system_metrics:
            sampler.watch(client, run_id, resumed=resumed)
        if not resumed and (wanted.git or wanted.packages or wanted.program):
            _notes[run_id] = _Notes(client, run_id, wanted)
    except Exception as error:  # noqa: BLE001 - training goes on without our notes
        _log.warning("What makes the run '%s' is not noted: %s", run_id, error)


def end(run_id: str, error: BaseException | None = None) -> None:
    """Finish what `begin` set going, before the run's end is written. Never raises.

    Takes a few seconds at most, and nearly always no time. `error`, if the run failed by an
    exception, is added to its console log, for Python prints it when the run is over.
    """
    try:
        sampler.leave(run_id)
        notes = _notes.pop(run_id, None)
        if notes is not None:
            notes.finish()
        console.end(run_id, error)
    except Exception as failure:  # noqa: BLE001 - the run's end must be written all the same
        _log.warning("The notes of the run '%s' may be cut short: %s", run_id, failure)


def _switches() -> Switches:
    try:
        return switches()
    except InvalidRequest as error:
        # Whoever starts a new run has been told by context_tags.
        _log.warning("Nothing is noted about what makes this run: %s", error)
        return Switches(
            git=False, program=False, packages=False, console=False, system_metrics=False
        )


class _Notes:
    """What a thread of its own writes down about one run, once."""

    def __init__(self, client: CaptureClient, run_id: str, wanted: Switches) -> None:
        self._client = client
        self._run_id = run_id
        self._wanted = wanted
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._write, name="headrace-capture", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is written; after END_SECONDS do without what is not."""
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            self._cancelled.set()
            _log.warning(
                "Not all about what made the run '%s' could be noted within %.0f seconds; see "
                "HEADRACE_CAPTURE_GIT.",
                self._run_id,
                END_SECONDS,
            )

    def _write(self) -> None:
        for note in (self._packages, self._gpus, self._changes):
            try:
                note()
            except Exception as error:  # noqa: BLE001 - training goes on without this note
                _log.warning("The run '%s' goes without a note: %s", self._run_id, error)
                return

    def _packages(self) -> None:
        with undivided():
            from headrace.models.environment.installed import packages_text

        if self._wanted.packages:
            self._file(PACKAGES_FILE, packages_text())

    def _gpus(self) -> None:
        with undivided():
            from headrace.client.machine import gpu_names

        names = gpu_names() if self._wanted.program else None
        if names:
            self._tag(GPU_TAG, names)

    def _changes(self) -> None:
        found = checkout() if self._wanted.git else None
        changes = None if found is None else _changes.of(found, self._cancelled)
        if changes is not None:
            if changes.text:
                self._file(CHANGES_FILE, changes.text)
            self._tag(DIRTY_TAG, "true" if changes.dirty else "false")

    def _file(self, path: str, text: str) -> None:
        if not self._cancelled.is_set():
            self._client.log_text(self._run_id, text, path)

    def _tag(self, key: str, value: str) -> None:
        if not self._cancelled.is_set():
            self._client.log_batch(self._run_id, tags=[Tag(key, value)])


class _Changes:
    """Uncommitted changes, looked up once for runs that follow one another closely."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Checkout, float, Uncommitted] | None = None

    def of(self, found: Checkout, cancelled: threading.Event) -> Uncommitted | None:
        """See git.uncommitted."""
        with self._lock:
            if self._known is not None:
                known, at, changes = self._known
                if known == found and time.monotonic() - at < FRESH_SECONDS:
                    return changes
            fresh = uncommitted(found, cancelled)
            if fresh is not None:
                self._known = (found, time.monotonic(), fresh)
            return fresh

    def forget(self) -> None:
        """In a child after a fork: a thread of the parent may hold the lock."""
        self._lock = threading.Lock()


_changes: Final = _Changes()
_notes: Final[dict[str, _Notes]] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_changes.forget)
    os.register_at_fork(after_in_child=_notes.clear)
