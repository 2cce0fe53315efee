"""The places that workers have for streams of text, and who of them takes the next stream.

A stream over which a worker may have died is a suspect: it goes to a worker that has nothing else,
and nothing joins it there until it is cleared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from headrace.serving.worker_process import WorkerProcess


class Capacities(Protocol):
    """The workers that there are, and what they can do at the same time."""

    def ready(self) -> Iterable[WorkerProcess]:
        """Those that may be given something new."""

    def capacity(self, worker: WorkerProcess) -> int:
        """Choices that go on at once in a worker."""


class Places:
    """See the module. A stream takes a place for each of its choices."""

    def __init__(self, workers: Capacities) -> None:
        self._workers = workers
        self._taken: dict[WorkerProcess, int] = {}
        """Of each worker that has any stream."""
        self._closed: set[WorkerProcess] = set()
        """Workers that are at a suspect."""

    def busy(self) -> Iterable[WorkerProcess]:
        """Workers that have a stream."""
        return self._taken

    def is_busy(self, worker: WorkerProcess) -> bool:
        """Whether a worker has a stream."""
        return worker in self._taken

    def best(self, choices: int, *, alone: bool) -> WorkerProcess | None:
        """The worker with most room, if that is enough for so many choices; one that has nothing
        else takes any number. `alone`: only one that has nothing else.
        """
        best, most = None, 0
        for worker in self._workers.ready():
            taken = self._taken.get(worker, 0)
            if worker in self._closed or (alone and taken):
                continue
            room = self._workers.capacity(worker) - taken
            if room > most and (room >= choices or taken == 0):
                best, most = worker, room
        return best

    def take(self, worker: WorkerProcess, choices: int, *, is_suspect: bool) -> None:
        """A stream goes to a worker."""
        self._taken[worker] = self._taken.get(worker, 0) + choices
        if is_suspect:
            self._closed.add(worker)

    def clear(self, worker: WorkerProcess) -> None:
        """The suspect of a worker has done it no harm: others may join it."""
        self._closed.discard(worker)

    def free(self, worker: WorkerProcess, choices: int) -> None:
        """Choices of a worker have ended."""
        self._taken[worker] -= choices
        if self._taken[worker] <= 0:
            del self._taken[worker]

    def lost(self, worker: WorkerProcess) -> None:
        """A worker is gone with all that it had."""
        self._taken.pop(worker, None)
        self._closed.discard(worker)
