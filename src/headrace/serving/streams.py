"""Streams of text: those that wait for a place at a worker, and those that a worker is at.

First come, first served, over all workers: the first one goes to the worker with most room.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final, Protocol

from headrace.errors import HeadraceError, TooManyRequests, Unavailable
from headrace.serving.calls import DeadlineExceeded
from headrace.serving.engines.base import Event, Finished, Piece, Refused, Started
from headrace.serving.settings import ServingSettings
from headrace.serving.worker.events import event_of
from headrace.serving.worker_process import Loss, WorkerDied, WorkerProcess

_MOST_UNREAD: Final = 50_000
"""Events of a stream that its reader has not taken: some tens of megabytes at most."""
_MOST_JOINED: Final = 4096
"""Characters of a piece that waits, to which no more are joined: joining copies all of them."""
_ALONE: Final = 0.5
"""The part of the time limit for which a suspect waits for a worker that has nothing else."""


class _Stream:
    """One request for text."""

    __slots__ = (
        "error",
        "events",
        "has_started",
        "has_text",
        "head",
        "heard_at",
        "is_second_try",
        "is_suspect",
        "key",
        "left",
        "unread",
        "waiter",
        "worker",
    )

    def __init__(self, key: int, head: dict[str, Any]) -> None:
        self.key = key
        self.head = {**head, "key": key}
        self.left = max(1, head["sampling"].get("n") or 1)
        """Choices that have not ended."""
        self.events: deque[Event] = deque()
        self.error: HeadraceError | None = None
        self.heard_at = time.monotonic()
        self.waiter: asyncio.Future[None] | None = None
        self.worker: WorkerProcess | None = None
        self.has_started = False
        """Whether a worker has survived its beginning."""
        self.has_text = False
        """Whether any text has come of it, so that it cannot be begun anew."""
        self.unread = 0
        """Events that have come since its reader had taken all."""
        self.is_second_try = False
        self.is_suspect = False
        """A worker died when it was about to begin: it begins alone the next time."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.left <= 0 or self.error is not None

    def keep(self, event: Event) -> None:
        """Keep an event until its reader comes. Text that goes on where the last piece ended is
        one piece with that: a reader that is late catches up with one.
        """
        self.unread += 1
        if isinstance(event, Piece):
            last = self.events[-1] if self.events else None
            if isinstance(last, Piece) and _can_join(last, event):
                text, logprobs = last.text + event.text, last.logprobs + event.logprobs
                event = Piece(event.key, event.index, text, logprobs)
                self.events.pop()
        self.events.append(event)

    def read(self) -> Event:
        """The first event that was kept."""
        event = self.events.popleft()
        if not self.events:
            self.unread = 0
        return event

    def wake(self) -> None:
        """Let its reader go on."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: HeadraceError) -> None:
        """The last thing that is heard of it."""
        if not self.is_over:
            self.error = error
            self.wake()


def _can_join(piece: Piece, more: Piece) -> bool:
    is_short = len(piece.text) + len(more.text) + len(piece.logprobs) < _MOST_JOINED
    return piece.index == more.index and is_short


class Capacities(Protocol):
    """The workers that there are, and what they can do at the same time."""

    def ready(self) -> Iterable[WorkerProcess]:
        """Those that may be given something new."""

    def capacity(self, worker: WorkerProcess) -> int:
        """Choices that go on at once in a worker."""


class Streams:
    """See the module. Belongs to the event loop."""

    def __init__(self, name: str, settings: ServingSettings, workers: Capacities) -> None:
        self._name = name
        self._settings = settings
        self._workers = workers
        self._keys = itertools.count(1)
        self._waiting: deque[_Stream] = deque()
        self._streams: dict[int, _Stream] = {}
        self._loads: dict[WorkerProcess, int] = {}
        """Choices that each worker is at."""
        self._trials: set[WorkerProcess] = set()
        """Workers that have one stream alone, over which another worker may have died."""

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
        return worker in self._loads

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
            while True:
                while stream.events:
                    yield stream.read()
                if stream.error is not None:
                    raise stream.error
                if stream.is_over:
                    return
                stream.waiter = asyncio.get_running_loop().create_future()
                await stream.waiter
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

    def heard(self, told: list[list[Any]]) -> None:
        """A worker says what became of its streams. Raises ValueError, TypeError for nonsense."""
        now = time.monotonic()
        for each in told:
            stream = self._streams.get(each[1])
            if stream is None or stream.is_over:
                continue
            event = event_of(each)
            stream.heard_at = now
            if not (isinstance(event, Started) and stream.has_started):  # it may begin twice
                stream.keep(event)
            if stream.unread > _MOST_UNREAD:
                stream.fail(TooManyRequests("The answer is read too slowly to be kept for longer."))
                self._forget(stream)
                continue
            if not isinstance(event, Started):
                stream.has_text = True
            stream.has_started = True
            if stream.is_suspect:
                self._end_trial(stream)
            if isinstance(event, Finished):
                self._leave(stream, 1)
            elif isinstance(event, Refused):
                self._leave(stream, stream.left)
            stream.wake()

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """A worker is gone. Streams of which no text has come yet are begun anew, once."""
        self._loads.pop(worker, None)
        self._trials.discard(worker)
        again: list[_Stream] = []
        for stream in self._streams.values():
            if stream.worker is not worker or stream.is_over:
                continue
            stream.worker = None
            if stream.has_text or stream.is_second_try:
                stream.fail(WorkerDied(f"The model's process ended: {loss.reason}.", loss.trace))
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
            for worker in self._loads
            if now - worker.heard_at > timeout
        ]
        for stream in list(self._streams.values()):
            if now - stream.heard_at > timeout:
                stream.fail(DeadlineExceeded(f"Nothing came of the model for {timeout:g} seconds."))
                self._forget(stream)
        self.give()  # a suspect may have waited long enough
        return found

    def fail_all(self, why: str) -> None:
        """End all streams with Unavailable."""
        for stream in list(self._streams.values()):
            stream.fail(Unavailable(why))
            self._forget(stream)

    def _worker_for(self, stream: _Stream) -> WorkerProcess | None:
        """The one with most room, if that is enough; one that has nothing else takes any. A suspect
        goes to one that has nothing else, as long as it has time to wait for that.
        """
        has_time = time.monotonic() - stream.heard_at < self._settings.timeout * _ALONE
        is_alone = stream.is_suspect and has_time
        best, most = None, 0
        for worker in self._workers.ready():
            load = self._loads.get(worker, 0)
            if worker in self._trials or (is_alone and load):
                continue
            room = self._workers.capacity(worker) - load
            if room > most and (room >= stream.left or load == 0):
                best, most = worker, room
        return best

    def _begin(self, stream: _Stream, worker: WorkerProcess) -> None:
        stream.worker = worker
        if worker not in self._loads:
            self._loads[worker] = 0
            worker.heard_at = time.monotonic()  # it had no reason to say anything
        self._loads[worker] += stream.left
        if stream.is_suspect:
            self._trials.add(worker)
        worker.generate(stream.head)

    def _end_trial(self, stream: _Stream) -> None:
        """Others may join the worker of a stream that was suspected."""
        stream.is_suspect = False
        if stream.worker is not None:
            self._trials.discard(stream.worker)
            self.give()

    def _forget(self, stream: _Stream) -> None:
        """Free the place of a stream, which may be over already."""
        if stream.worker is not None and stream.left > 0:
            stream.worker.cancel(stream.key)
            self._leave(stream, stream.left)
        elif stream in self._waiting:
            self._waiting.remove(stream)

    def _leave(self, stream: _Stream, choices: int) -> None:
        worker = stream.worker
        stream.left -= choices
        if stream.left <= 0:
            if stream.is_suspect:
                self._end_trial(stream)
            stream.worker = None
        if worker is None or worker not in self._loads:
            return
        self._loads[worker] -= choices
        if self._loads[worker] <= 0:
            del self._loads[worker]
        self.give()
