"""Predictions: the requests that wait, and the batches that workers are at.

A worker gets one batch at a time, so that one that hangs holds no other requests than its own. When
a worker dies over a batch, each of its requests is tried once more alone: only the one that killed
it fails. The same is done by another worker while one says nothing for long; whoever answers first
does. No request has a timer of its own; `sweep` looks after all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from headrace.errors import HeadraceError, TooManyRequests, Unavailable
from headrace.serving.batching import BatchPolicy
from headrace.serving.calls import DeadlineExceeded, ModelFailed
from headrace.serving.engines.raised import RaisedLog
from headrace.serving.settings import ServingSettings
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker_loss import Loss, WorkerDied
from headrace.serving.worker_process import WorkerProcess

log = logging.getLogger("headrace.serving")

IsGone = Callable[[], bool]
"""Whether the caller of a request has hung up."""

_BATCH_BYTES: Final = 32 << 20
"""Bytes that a batch of several requests has at most."""
_QUEUE_BYTES: Final = 1 << 30
"""Bytes that may wait."""
_HUNG: Final = 0.25
"""The part of the time limit for which a worker may say nothing: then a batch of several is taken
apart and another worker is started beside it, so that there is time left for the others."""
_USUAL: Final = 4
"""How many times longer than a request usually takes that must be, too."""


class _Request:
    """One call on its way to an answer."""

    __slots__ = ("call", "deadline", "done", "is_gone", "is_suspect")

    def __init__(
        self, call: Call, done: asyncio.Future[Answered], deadline: float, is_gone: IsGone | None
    ) -> None:
        self.call = call
        self.done = done
        self.deadline = deadline
        self.is_gone = is_gone
        self.is_suspect = False
        """A worker has died over it, so it goes alone, and not a third time."""


class _Batch:
    """What a worker is at."""

    __slots__ = ("answered", "began", "is_apart", "requests")

    def __init__(self, requests: list[_Request], began: float) -> None:
        self.requests = requests
        self.began = began
        self.answered = 0
        self.is_apart = False
        """Whether those that are not answered wait to be tried alone, too."""

    @property
    def left(self) -> list[_Request]:
        """Those that somebody still waits for."""
        return [each for each in self.requests[self.answered :] if not each.done.done()]


class Workers(Protocol):
    """The workers that there are."""

    def ready(self) -> Iterable[WorkerProcess]:
        """Those that may be given something new."""


class Predictions:
    """See the module. Belongs to the event loop."""

    def __init__(self, name: str, settings: ServingSettings, workers: Workers) -> None:
        self.policy = BatchPolicy(settings.max_batch, settings.timeout)
        self._name = name
        self._settings = settings
        self._workers = workers
        self._queue: deque[_Request] = deque()
        self._queued_bytes = 0
        self._batches: dict[WorkerProcess, _Batch] = {}
        self._raised = RaisedLog(log, is_each_in_full=settings.debug)
        self._is_giving = False
        self._alarm: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """Requests that workers are at."""
        return sum(len(batch.requests) for batch in self._batches.values())

    def is_busy(self, worker: WorkerProcess) -> bool:
        """Whether it is at something that somebody waits for."""
        batch = self._batches.get(worker)
        return batch is not None and bool(batch.left)

    def submit(self, call: Call, is_gone: IsGone | None = None) -> asyncio.Future[Answered]:
        """The answer to a call, once it is there; cancel it to forget the call.

        Raises TooManyRequests at once when too many wait.
        """
        queue = self._queue
        size = len(call.body)
        if queue and (
            len(queue) >= self._settings.max_queue or self._queued_bytes + size > _QUEUE_BYTES
        ):
            raise self._full()
        done: asyncio.Future[Answered] = self._loop.create_future()
        queue.append(_Request(call, done, time.monotonic() + self._settings.timeout, is_gone))
        self._queued_bytes += size
        if not self._is_giving:
            # Not at once: what has arrived at the same time goes together.
            self._is_giving = True
            self._loop.call_soon(self.give)
        return done

    def give(self) -> None:
        """Give what waits to workers that are free."""
        self._is_giving = False
        if not self._queue:
            return
        now = time.monotonic()
        self._give_up(now)
        for worker in self._workers.ready():
            if worker in self._batches:
                continue
            most = self.policy.size if worker.takes_several else 1
            wait = self.policy.wait(len(self._queue), now) if most > 1 else 0.0
            if wait > 0:
                if self._alarm is None:
                    self._alarm = self._loop.call_later(wait, self._wake)
                return
            requests = self._take(most)
            if not requests:
                return
            self._batches[worker] = _Batch(requests, now)
            worker.predict([request.call for request in requests], requests[-1].deadline - now)

    def answered(self, worker: WorkerProcess, answers: Sequence[Answered | Failed]) -> None:
        """A worker has answered the next ones of its batch."""
        batch = self._batches[worker]
        requests = batch.requests
        first, last = batch.answered, batch.answered + len(answers)
        if last > len(requests):
            raise ValueError(f"{last} answers to {len(requests)} calls")
        batch.answered = last
        if last == len(requests):
            self._finish(worker, batch)
        for request, answer in zip(requests[first:], answers, strict=False):
            if request.done.done():
                continue
            if isinstance(answer, Answered):
                request.done.set_result(answer)
            else:
                request.done.set_exception(self._error(answer))

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """A worker is gone; what it was at is tried again where that can help."""
        batch = self._batches.pop(worker, None)
        if batch is None:
            return
        is_culprit = len(batch.requests) == 1 and (
            batch.requests[0].is_suspect or not loss.is_outside
        )
        if is_culprit:
            for request in batch.left:
                request.done.set_exception(_blamed(loss))
        else:
            self._try_alone(batch)
        self.give()

    def take_apart(self, worker: WorkerProcess) -> None:
        """Have the requests that a worker is at tried alone by others, too, if they are several."""
        batch = self._batches[worker]
        if len(batch.left) > 1:
            self._try_alone(batch)
            self.give()

    def _try_alone(self, batch: _Batch) -> None:
        """Have those that are left of a batch wait once more, for being tried alone. The last comes
        first: where a worker still goes on with them, it has begun with the others.
        """
        if batch.is_apart:
            return
        batch.is_apart = True
        for request in batch.left:
            request.is_suspect = True
            self._queue.appendleft(request)
            self._queued_bytes += len(request.call.body)

    def sweep(self, now: float) -> list[tuple[WorkerProcess, Loss]]:
        """Fail what is too late, and forget what nobody waits for. The workers that hang, which
        the caller ends.
        """
        if self._queue:
            self._sweep_queue(now)
        found: list[tuple[WorkerProcess, Loss]] = []
        for worker, batch in self._batches.items():
            for request in batch.requests[batch.answered :]:
                if request.deadline <= now and not request.done.done():
                    request.done.set_exception(self._late())
            seconds = _silent(worker, batch, now)
            if seconds >= self._settings.timeout:
                found.append((worker, _hung(seconds)))
        return found

    def stuck(self, now: float) -> list[WorkerProcess]:
        """Workers that have said nothing for so long that others should not wait for them."""
        limit = max(self._settings.timeout * _HUNG, self.policy.seconds_each * _USUAL)
        return [
            worker
            for worker, batch in self._batches.items()
            if _silent(worker, batch, now) > limit
            and (self._queue or (len(batch.left) > 1 and not batch.is_apart))
        ]

    def loss_of_stuck(self, worker: WorkerProcess, now: float) -> Loss | None:
        """Why a worker that is stuck has to end, where no other one can be had: others could be
        answered. None where it is more likely slow than hung.
        """
        batch = self._batches[worker]
        is_known = self.policy.seconds_each > 0
        are_waiting = bool(self._queue) and self._queue[0].is_suspect
        if len(batch.left) > 1 or (is_known and are_waiting and batch.requests[0].is_suspect):
            return _hung(_silent(worker, batch, now))
        return None

    def fail_all(self, why: str) -> None:
        """Answer all requests with Unavailable."""
        under_way = [request for batch in self._batches.values() for request in batch.requests]
        for request in (*under_way, *self._queue):
            if not request.done.done():
                request.done.set_exception(Unavailable(why))
        self._queue.clear()
        self._queued_bytes = 0

    def _finish(self, worker: WorkerProcess, batch: _Batch) -> None:
        callers = self.under_way + len(self._queue)
        del self._batches[worker]
        now = time.monotonic()
        self.policy.observe(len(batch.requests), now - batch.began)
        self.policy.expect(callers, len(self._batches) + 1, now)
        self.give()

    def _wake(self) -> None:
        self._alarm = None
        self.give()

    def _take(self, most: int) -> list[_Request]:
        """The requests of the next batch."""
        queue, batch, size = self._queue, list[_Request](), 0
        while queue:
            request = queue[0]
            length = len(request.call.body)
            is_wanted = not request.done.done()
            if is_wanted and batch and (request.is_suspect or size + length > _BATCH_BYTES):
                break
            queue.popleft()
            self._queued_bytes -= length
            if is_wanted:
                batch.append(request)
                size += length
                if request.is_suspect or len(batch) >= most:
                    break
        return batch

    def _give_up(self, now: float) -> None:
        """Answer those that have waited so long that their predictions would come too late. Under
        overload, workers would else be at these alone, and nobody would get an answer. Not those
        that a slow worker is at, too, and may yet answer in time.
        """
        queue = self._queue
        while queue and self.policy.is_too_late(queue[0].deadline - now):
            if self._is_under_way(queue[0]):
                return
            request = queue.popleft()
            self._queued_bytes -= len(request.call.body)
            if not request.done.done():
                request.done.set_exception(self._late())

    def _is_under_way(self, request: _Request) -> bool:
        return request.is_suspect and any(
            request in batch.requests[batch.answered :] for batch in self._batches.values()
        )

    def _sweep_queue(self, now: float) -> None:
        kept: deque[_Request] = deque()
        size = 0
        for request in self._queue:
            if request.done.done():
                continue
            if request.deadline <= now:
                request.done.set_exception(self._late())
            elif request.is_gone is not None and request.is_gone():
                request.done.cancel()
            else:
                kept.append(request)
                size += len(request.call.body)
        self._queue, self._queued_bytes = kept, size

    def _full(self) -> TooManyRequests:
        ready = sum(1 for _ in self._workers.ready())
        return TooManyRequests(
            f"{len(self._queue)} requests wait for {self._name} already; try again later.",
            self.policy.seconds_until_room(len(self._queue), ready),
        )

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self._name} could give no answer within {self._settings.timeout:g} seconds, waiting "
            "included. The server's --timeout sets that."
        )

    def _error(self, answer: Failed) -> ModelFailed:
        if answer.trace:
            self._raised.tell(f"{self._name} could not predict", answer.origin, answer.trace)
        error = ModelFailed(answer.message, answer.trace)
        error.error_code, error.http_status = answer.code, answer.status
        return error


def _silent(worker: WorkerProcess, batch: _Batch, now: float) -> float:
    """For how many seconds a worker has said nothing over a batch: what a prediction takes."""
    return now - max(batch.began, worker.heard_at)


def _hung(seconds: float) -> Loss:
    return Loss(f"it hung for {seconds:.1f} seconds", is_hung=True)


def _blamed(loss: Loss) -> HeadraceError:
    """The error for the request over which a worker was lost."""
    if loss.is_hung:
        return DeadlineExceeded(f"The model did not answer this request: {loss.reason}.")
    return WorkerDied(f"The model's process ended over this request: {loss.reason}.")
