"""The workers of one model version, and the requests that wait for them.

A worker gets one batch at a time, so that one that hangs holds no other requests than its own. When
a worker dies over a batch, each of its requests is tried once more alone: only the one that killed
it fails.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import HeadraceError, InvalidModel, TooManyRequests
from headrace.serving.batching import BatchPolicy
from headrace.serving.calls import DeadlineExceeded, Event, ModelFailed, event_of
from headrace.serving.settings import ServingSettings
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker_process import Ready, WorkerLost, WorkerProcess, WorkerSpec

log = logging.getLogger("headrace.serving")


@dataclass(eq=False)
class _Pending:
    call: Call
    done: asyncio.Future[Answered]
    since: float
    alone: bool = False


@dataclass(eq=False)
class _Stream:
    head: dict[str, Any]
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    worker: WorkerProcess | None = None


@dataclass(frozen=True)
class PoolStatus:
    """How a pool is, for pages about health."""

    alive: int
    """Workers that can answer."""
    queued: int
    under_way: int


class Pool:
    """See the module. Belongs to the event loop."""

    def __init__(self, name: str, spec: WorkerSpec, settings: ServingSettings) -> None:
        self.name = name
        self._spec = spec
        self._settings = settings
        self._policy = BatchPolicy(settings.max_batch)
        self._workers: dict[WorkerProcess, Ready] = {}
        self._queue: deque[_Pending] = deque()
        self._waiting_streams: deque[_Stream] = deque()
        self._streams: dict[int, _Stream] = {}
        self._keys = itertools.count(1)
        self._wake: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._is_idle: asyncio.Event | None = None
        self.generates: dict[str, Any] | None = None
        """What makes text of this model, and how; None where it makes none."""

    async def start(self) -> None:
        """Load the model in all workers. Raises InvalidModel with the reason when it cannot be."""
        try:
            async with asyncio.timeout(self._settings.load_timeout):
                await asyncio.gather(*(self._add() for _ in range(self._settings.workers)))
        except WorkerLost as error:
            await self.close()
            raise InvalidModel(f"{self.name} cannot be served: {error.reason}") from None
        except TimeoutError:
            await self.close()
            raise InvalidModel(
                f"{self.name} was not loaded within {self._settings.load_timeout:g} seconds; "
                "expected less, or a larger --load-timeout."
            ) from None

    async def predict(self, call: Call) -> Answered:
        """The model's answer to a call.

        Raises ModelFailed for what the model could not do or the request says wrongly,
        TooManyRequests at once when too many wait, DeadlineExceeded.
        """
        self._check_room()
        pending = _Pending(call, asyncio.get_running_loop().create_future(), time.monotonic())
        self._queue.append(pending)
        self._dispatch()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await pending.done
        except TimeoutError:
            raise DeadlineExceeded(
                f"The prediction took longer than {self._settings.timeout:g} seconds."
            ) from None

    async def generate(self, head: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """What becomes of a request for text; the caller closes the iterator to cancel it.

        `head` holds `sampling`, and `messages` with `tools`, or `prompt`. Raises as `predict`.
        """
        self._check_room()
        key = next(self._keys)
        stream = _Stream({**head, "key": key})
        self._streams[key] = stream
        self._waiting_streams.append(stream)
        self._dispatch()
        try:
            while True:
                try:
                    async with asyncio.timeout(self._settings.timeout):
                        event = await stream.events.get()
                except TimeoutError:
                    raise DeadlineExceeded(
                        f"Nothing came of the model for {self._settings.timeout:g} seconds."
                    ) from None
                yield event
        finally:
            del self._streams[key]
            if stream.worker is None:
                self._waiting_streams.remove(stream)
            else:
                stream.worker.cancel(key)
            self._note_idle()

    def status(self) -> PoolStatus:
        """How the pool is now."""
        return PoolStatus(len(self._workers), len(self._queue), self._under_way)

    async def close(self) -> None:
        """End all workers; what is under way fails."""
        self._is_closing = True
        for worker in list(self._workers):
            worker.close()
        for task in self._tasks:
            task.cancel()

    async def drain(self) -> None:
        """Wait until nothing is under way, then close."""
        self._is_idle = asyncio.Event()
        self._note_idle()
        await self._is_idle.wait()
        await self.close()

    def _note_idle(self) -> None:
        if self._is_idle is not None and not (self._queue or self._streams or self._under_way):
            self._is_idle.set()

    # ------------------------------------------------------------------------- workers

    async def _add(self) -> None:
        worker = WorkerProcess(self._spec, on_events=self._hear, on_lost=self._lost)
        ready = await worker.start()
        self._workers[worker] = ready
        self.generates = ready.generates
        self._dispatch()

    def _lost(self, worker: WorkerProcess, reason: str) -> None:
        if self._workers.pop(worker, None) is None or self._is_closing:
            return
        log.error("a worker of %s is gone: %s; another one is started", self.name, reason)
        for stream in list(self._streams.values()):
            if stream.worker is worker:
                stream.events.put_nowait(ModelFailed(f"The model's worker is gone: {reason}."))
        self._run(self._add())

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------------ dispatch

    def _check_room(self) -> None:
        if len(self._queue) + len(self._waiting_streams) >= self._settings.max_queue:
            raise TooManyRequests(
                f"{self._settings.max_queue} requests wait for this model already; try again soon.",
                1,
            )

    def _dispatch(self) -> None:
        """Give what waits to workers that are free."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        for worker in self._workers:
            while self._waiting_streams:
                stream = self._waiting_streams.popleft()
                stream.worker = worker
                worker.generate(stream.head)
            if worker.is_busy or not self._queue:
                continue
            first = self._queue[0]
            wait = self._policy.wait(
                len(self._queue), self._under_way, time.monotonic() - first.since
            )
            if wait > 0 and not first.alone:
                self._wake = asyncio.get_running_loop().call_later(wait, self._dispatch)
                return
            self._run(self._predict(worker, self._take()))

    def _take(self) -> list[_Pending]:
        batch = [self._queue.popleft()]
        while (
            self._queue
            and not batch[0].alone
            and not self._queue[0].alone
            and len(batch) < self._policy.max_batch
        ):
            batch.append(self._queue.popleft())
        self._under_way += len(batch)
        return batch

    async def _predict(self, worker: WorkerProcess, batch: Sequence[_Pending]) -> None:
        began = time.monotonic()
        together = len(self._queue) + self._under_way
        try:
            answers = await worker.predict([pending.call for pending in batch])
        except WorkerLost as error:
            self._try_again(batch, error.reason)
        else:
            self._policy.observe(together, len(batch), time.monotonic() - began)
            for pending, answer in zip(batch, answers, strict=True):
                _settle(pending, answer)
        finally:
            self._under_way -= len(batch)
            self._dispatch()
            self._note_idle()

    def _try_again(self, batch: Sequence[_Pending], reason: str) -> None:
        for pending in reversed(batch):
            if len(batch) > 1:
                pending.alone = True
                self._queue.appendleft(pending)
            elif not pending.done.done():
                error = ModelFailed(f"The model's worker is gone: {reason}.")
                error.http_status = 500
                pending.done.set_exception(error)

    def _hear(self, events: list[list[Any]]) -> None:
        for each in events:
            stream = self._streams.get(each[1])
            if stream is not None:
                stream.events.put_nowait(event_of(each))


def _settle(pending: _Pending, answer: Answered | Failed) -> None:
    if pending.done.done():
        return
    if isinstance(answer, Answered):
        pending.done.set_result(answer)
        return
    error: HeadraceError = ModelFailed(answer.message, answer.trace)
    error.error_code, error.http_status = answer.code, answer.status
    pending.done.set_exception(error)
