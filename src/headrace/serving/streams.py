"""Streams of text: those that wait for a place at a worker, and those that a worker is at.

First come, first served, over all workers: `places` says which of them takes the next one, and
`unread` keeps what comes until it is read.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from headrace.errors import HeadraceError, TooManyRequests, Unavailable
from headrace.serving.calls import DeadlineExceeded
from headrace.serving.engines.base import Event, Finished, Refused, Started
from headrace.serving.places import Capacities, Places
from headrace.serving.settings import ServingSettings
from headrace.serving.unread import Unread
from headrace.serving.worker.events import event_of
from headrace.serving.worker_loss import Loss, WorkerDied
from headrace.serving.worker_process import WorkerProcess

_ALONE: Final = 0.5
"""The part of the time limit for which a suspect waits for a worker that has nothing else."""


class _Stream:
    """One request for text."""

    __slots__ = (
        "has_started",
        "has_text",
        "head",
        "heard_at",
        "is_second_try",
        "is_suspect",
        "key",
        "left",
        "unread",
        "worker",
    )

    def __init__(self, key: int, head: dict[str, Any]) -> None:
        self.key = key
        self.head = {**head, "key": key}
        self.left = max(1, head["sampling"].get("n") or 1)
        """Choices that have not ended."""
        self.unread = Unread()
        self.heard_at = time.monotonic()
        self.worker: WorkerProcess | None = None
        """The one that is at it."""
        self.has_started = False
        """Whether a worker has survived its beginning."""
        self.has_text = False
        """Whether any text has come of it, so that it cannot be begun anew."""
        self.is_second_try = False
        self.is_suspect = False
        """A worker died when it was about to begin: it begins alone the next time."""


class Streams:
    """See the module. Belongs to the event loop."""

    def __init__(self, name: str, settings: ServingSettings, workers: Capacities) -> None:
        self._name = name
        self._settings = settings
        self._places = Places(workers)
        self._keys = itertools.count(1)
        self._waiting: deque[_Stream] = deque()
        self._streams: dict[int, _Stream] = {}

    @property
    def queued(self) -> int:
        """Those that wait for a place."""
        return len(self._waiting)

    @property
    def under_way(self) -> int:
        """Those that a worker is at."""
        return sum(1 for each in self._streams.values() if each.worker is not None)

    def is_busy(self, worker: WorkerProcess) -> bool:
        """Whether it has a stream."""
        return self._places.is_busy(worker)

    async def generate(self, head: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """See Pool."""
        if len(self._waiting) >= self._settings.max_queue:
            raise TooManyRequests(
                f"{len(self._waiting)} requests wait for {self._name} already; try again later.", 1
            )
        stream = _Stream(next(self._keys), head)
        self._streams[stream.key] = stream
        self._waiting.append(stream)
        self.give()
        try:
            async for event in stream.unread:
                yield event
        finally:
            self._forget(stream)
            self._streams.pop(stream.key, None)

    def give(self) -> None:
        """Give what waits to workers that have room."""
        if not self._waiting:
            return
        passed: list[_Stream] = []
        while self._waiting:
            stream = self._waiting[0]
            worker = self._worker_for(stream)
            if worker is None and not stream.is_suspect:
                break
            self._waiting.popleft()
            if worker is None:
                passed.append(stream)
            else:
                self._begin(stream, worker)
        self._waiting.extendleft(reversed(passed))

    def heard(self, worker: WorkerProcess, told: list[list[Any]]) -> None:
        """A worker says what became of its streams. Raises ValueError, TypeError for nonsense."""
        now = time.monotonic()
        for each in told:
            stream = self._streams.get(each[1])
            if stream is None or stream.worker is not worker:
                continue  # it was ended, and the worker did not know yet
            event = event_of(each)
            stream.heard_at = now
            if not (isinstance(event, Started) and stream.has_started):  # it may begin twice
                stream.unread.keep(event)
            if stream.unread.is_too_much:
                slow = TooManyRequests("The answer is read too slowly to be kept for longer.")
                self._end(stream, slow)
                continue
            if not isinstance(event, Started):
                stream.has_text = True
            stream.has_started = True
            if stream.is_suspect:
                stream.is_suspect = False
                self._places.clear(worker)
                self.give()
            if isinstance(event, Finished):
                self._leave(stream, worker, 1)
            elif isinstance(event, Refused):
                self._leave(stream, worker, stream.left)

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """A worker is gone. Streams of which no text has come yet are begun anew, once."""
        self._places.lost(worker)
        again: list[_Stream] = []
        for stream in self._streams.values():
            if stream.worker is not worker:
                continue
            stream.worker = None
            if stream.has_text or stream.is_second_try:
                reason = f"The model's process ended: {loss.reason}."
                stream.unread.end(WorkerDied(reason, loss.trace))
            else:
                stream.is_second_try = True
                stream.is_suspect = not stream.has_started
                again.append(stream)
        self._waiting.extendleft(reversed(again))
        self.give()

    def sweep(self, now: float) -> list[tuple[WorkerProcess, Loss]]:
        """End what stands still. The workers that hang, which the caller ends."""
        timeout = self._settings.timeout
        found = [
            (worker, Loss(f"it hung for {now - worker.heard_at:.1f} seconds", is_hung=True))
            for worker in self._places.busy()
            if now - worker.heard_at > timeout
        ]
        for stream in list(self._streams.values()):
            if now - stream.heard_at > timeout:
                late = DeadlineExceeded(f"Nothing came of the model for {timeout:g} seconds.")
                self._end(stream, late)
        self.give()  # a suspect may have waited long enough
        return found

    def fail_all(self, why: str) -> None:
        """End all streams with Unavailable."""
        for stream in list(self._streams.values()):
            self._end(stream, Unavailable(why))

    def _worker_for(self, stream: _Stream) -> WorkerProcess | None:
        """The worker that takes a stream now. A suspect waits for one that has nothing else, as
        long as it has time for that.
        """
        has_time = time.monotonic() - stream.heard_at < self._settings.timeout * _ALONE
        return self._places.best(stream.left, alone=stream.is_suspect and has_time)

    def _begin(self, stream: _Stream, worker: WorkerProcess) -> None:
        stream.worker = worker
        if not self._places.is_busy(worker):
            worker.heard_at = time.monotonic()  # it had no reason to say anything
        self._places.take(worker, stream.left, is_suspect=stream.is_suspect)
        worker.generate(stream.head)

    def _end(self, stream: _Stream, error: HeadraceError) -> None:
        """End a stream from here, if it has not ended."""
        stream.unread.end(error)
        self._forget(stream)

    def _forget(self, stream: _Stream) -> None:
        """Free the place of a stream, which may be over already."""
        if stream.worker is not None:
            stream.worker.cancel(stream.key)
            self._leave(stream, stream.worker, stream.left)
        elif stream in self._waiting:
            self._waiting.remove(stream)

    def _leave(self, stream: _Stream, worker: WorkerProcess, choices: int) -> None:
        """Choices of a stream have ended that the worker was at."""
        stream.left -= choices
        self._places.free(worker, choices)
        if stream.left <= 0:
            stream.worker = None
            stream.unread.end()
            if stream.is_suspect:
                self._places.clear(worker)
        self.give()
