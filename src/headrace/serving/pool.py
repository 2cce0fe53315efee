"""The workers of one model version, and the requests for them.

What waits for a prediction is in `predictions`, what waits for text in `streams`, and who keeps the
workers alive in `workforce`; this joins them, and looks after all of them with one timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.errors import Unavailable
from headrace.serving.engines.base import Event
from headrace.serving.predictions import IsGone, Predictions
from headrace.serving.settings import ServingSettings
from headrace.serving.streams import Streams
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker_loss import Loss
from headrace.serving.worker_process import WorkerProcess
from headrace.serving.worker_spec import WorkerSpec
from headrace.serving.workforce import Workforce

_LOOKS: Final = 50
"""How often a time limit is looked at within it."""
_LONGEST_PAUSE: Final = 0.5
_MUST_STOP: Final = 1.125
"""Times its limit at which a worker gets nothing new, though there is no other one yet: at 1.25
it is refused more memory (see `worker.main`)."""


@dataclass(frozen=True)
class PoolStatus:
    """How a pool is, for those who look after the server."""

    alive: int
    """Workers that can answer."""
    starting: int
    """Workers that load the model."""
    restarts: int
    """Workers that took the place of others."""
    queued: int
    """Requests that wait."""
    under_way: int
    """Requests that workers are at."""
    batches: Mapping[int, int] = field(default_factory=dict)
    """How often so many requests were predicted together."""
    last_failure: str | None = None
    """Why a worker was last lost, replaced or not started."""


class Pool:
    """See the module. Made and used in one event loop; several share nothing."""

    def __init__(self, name: str, spec: WorkerSpec, settings: ServingSettings) -> None:
        self.name = name
        self.generates: dict[str, Any] | None = None
        """What makes text of this model, and how; None where it makes none."""
        self._settings = settings
        self._workforce = Workforce(name, spec, settings, self)
        self._predictions = Predictions(name, settings, self._workforce)
        self._streams = Streams(name, settings, self)
        self._pause = min(settings.timeout / _LOOKS, _LONGEST_PAUSE)
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self._refusal: str | None = None
        """Why no request can be answered."""

    async def start(self) -> None:
        """Load the model in all workers. Raises InvalidModel with the reason when it cannot be."""
        ready = await self._workforce.start()
        self.generates = ready.generates

    async def predict(self, call: Call, is_gone: IsGone | None = None) -> Answered:
        """The model's answer to a call.

        Raises ModelFailed for what the model could not do or the request says wrongly,
        TooManyRequests at once when too many wait, DeadlineExceeded; Unavailable when no worker
        can be started any more. A call is not predicted if this is cancelled while it waits, or
        `is_gone` says that nobody waits for the answer.
        """
        if self._refusal is not None:
            raise Unavailable(self._refusal)
        done = self._predictions.submit(call, is_gone)
        if self._timer is None:
            self._look_later()
        return await done

    async def generate(self, head: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """What becomes of a request for text, until all its choices have ended; the caller closes
        the iterator to cancel it.

        `head` holds `sampling`, and `messages` with `tools`, or `prompt`. Raises as `predict`.
        """
        if self._refusal is not None:
            raise Unavailable(self._refusal)
        events = self._streams.generate(head)
        if self._timer is None:
            self._look_later()
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            for worker in self._workforce.leaving():
                self._let_go(worker)

    def status(self) -> PoolStatus:
        """How the pool is now."""
        workforce, predictions, streams = self._workforce, self._predictions, self._streams
        return PoolStatus(
            workforce.alive,
            workforce.starting,
            workforce.restarts,
            predictions.queued + streams.queued,
            predictions.under_way + streams.under_way,
            dict(sorted(predictions.policy.sizes.items())),
            workforce.last_failure,
        )

    async def drain(self) -> None:
        """Wait until nothing waits or is under way, then close."""
        self._idle = asyncio.Event()
        self._look()
        await self._idle.wait()
        await self.close()

    async def close(self, grace: float = 5.0) -> None:
        """Fail what is under way, and end all workers: within `grace` seconds by themselves, then
        by force. Returns when their processes have ended. May be called again.
        """
        self._refuse(f"{self.name} is not served any more.")
        if self._timer is not None:
            self._timer.cancel()
        await self._workforce.close(grace)

    # --------------------------------------------------------------- what workers say: Listener

    def answered(self, worker: WorkerProcess, answers: list[Answered | Failed]) -> None:
        """See Listener."""
        self._predictions.answered(worker, answers)
        if worker.is_leaving:
            self._let_go(worker)

    def heard(self, worker: WorkerProcess, events: list[list[Any]]) -> None:
        """See Listener."""
        self._streams.heard(worker, events)
        if worker.is_leaving:
            self._let_go(worker)

    def grew(self, worker: WorkerProcess, memory: int, *, is_spent: bool) -> None:
        """See Listener."""
        limit = self._settings.memory_limit
        if is_spent:
            self._retire(worker, "the model ran out of memory", at_once=True)
        elif limit and memory > limit:
            reason = f"it holds {memory:,} bytes; the limit is {limit:,}"
            self._retire(worker, reason, at_once=memory > limit * _MUST_STOP)

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """See Listener."""
        self._workforce.lost(worker, loss)
        self._predictions.lost(worker, loss)
        self._streams.lost(worker, loss)

    def changed(self) -> None:
        """See Listener."""
        self._refuse(self._workforce.why_hopeless())
        self._predictions.give()
        self._streams.give()

    # ------------------------------------------------------------------------ for the streams

    def ready(self) -> list[WorkerProcess]:
        """Workers that may be given a stream."""
        return list(self._workforce.ready())

    def capacity(self, worker: WorkerProcess) -> int:
        """Choices that go on at once in a worker."""
        generates = self._workforce.facts(worker).generates
        return int(generates["capacity"]) if generates else 0

    # ------------------------------------------------------------------------------------------

    def _retire(self, worker: WorkerProcess, reason: str, *, at_once: bool) -> None:
        self._workforce.retire(worker, reason, lambda: self._let_go(worker), at_once=at_once)

    def _let_go(self, worker: WorkerProcess) -> None:
        """Close a worker that gets nothing new, once nobody waits for what it is at."""
        if not (self._predictions.is_busy(worker) or self._streams.is_busy(worker)):
            worker.close()

    def _relieve(self, worker: WorkerProcess, now: float) -> None:
        """Let nobody wait for a worker that is at something for long: have others do it."""
        workforce, predictions = self._workforce, self._predictions
        if not worker.is_retiring and workforce.has_room_beside(worker):
            # It goes on answering until the other one is there: it may only have been slow.
            reason = "it is at one request for long, and others wait"
            self._retire(worker, reason, at_once=False)
            predictions.take_apart(worker)
        elif workforce.starting or any(each is not worker for each in workforce.ready()):
            predictions.take_apart(worker)
        elif loss := predictions.loss_of_stuck(worker, now):
            worker.kill(loss)

    def _refuse(self, why: str | None) -> None:
        """Answer nothing from now on, for this reason; None: answer again."""
        self._refusal = why
        if why is not None:
            self._predictions.fail_all(why)
            self._streams.fail_all(why)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause, self._look_if_awake, loop.time() + self._pause)

    def _look_if_awake(self, due: float) -> None:
        """Look, but not at once after this process stood still, as when it is stopped and told to
        continue: what its workers have said meanwhile is not read yet.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - due > self._pause:
            self._timer = loop.call_later(self._pause, self._look)
        else:
            self._look()

    def _look(self) -> None:
        """See to what is too late and what hangs."""
        self._timer = None
        now = time.monotonic()
        for worker, loss in (*self._predictions.sweep(now), *self._streams.sweep(now)):
            worker.kill(loss)
        for worker in self._predictions.stuck(now):
            self._relieve(worker, now)
        for worker in self._workforce.leaving():
            self._let_go(worker)  # one that hangs never says that it has finished
        status = (self._predictions, self._streams)
        if any(each.queued or each.under_way for each in status):
            self._look_later()
        elif self._idle is not None:
            self._idle.set()
