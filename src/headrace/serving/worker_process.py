"""One worker, seen from the server: a process, and the socket to it.

Belongs to the event loop. A worker answers predictions one batch at a time, and streams of text
beside each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from headrace.serving.process_group import ProcessGroup
from headrace.serving.worker.answers import Answered, Failed, answers_of
from headrace.serving.worker.calls import Call, told_call
from headrace.serving.worker.frames import MAX_TOLD, FrameError, Unpacker, pack, text_in
from headrace.serving.worker_loss import Loss, WorkerLost, loss_by
from headrace.serving.worker_spec import WorkerSpec

log = logging.getLogger("headrace.serving")

MAX_ANSWERS: Final = 1 << 30
"""Bytes that a worker may answer in one frame; see `worker.main.MAX_ANSWER`."""
_LAST_WORDS: Final = 1.0
"""Seconds after its end that a worker's socket may be kept open by a process of another group."""


@dataclass(frozen=True)
class Ready:
    """What a worker says when its model is loaded."""

    seconds: float
    """That loading took."""
    generates: dict[str, Any] | None
    """What makes text of the model, and how; None where it makes none."""
    memory: int | None
    """Bytes that the worker holds; None where nobody asked, or the system does not say."""


class Listener(Protocol):
    """Who is told what a worker says. Called from the event loop."""

    def answered(self, worker: WorkerProcess, answers: list[Answered | Failed]) -> None:
        """Answers to the next ones of the calls that it was given."""

    def heard(self, worker: WorkerProcess, events: list[list[Any]]) -> None:
        """What became of streams, as `worker.events` has it; nothing: it is still at it."""

    def grew(self, worker: WorkerProcess, memory: int, *, is_spent: bool) -> None:
        """It holds so many bytes; it is spent when it could not get more."""

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """It is gone, after having been loaded or before. The last that is heard of it."""

    def changed(self) -> None:
        """Another worker is there, or could not be started."""


class WorkerProcess(asyncio.Protocol):
    """See the module."""

    def __init__(self, spec: WorkerSpec, listener: Listener, memory_limit: int | None) -> None:
        self._spec = spec
        self._listener = listener
        self._memory_limit = memory_limit
        self._unpacker = Unpacker(MAX_ANSWERS, MAX_TOLD)
        self._transport: asyncio.Transport | None = None
        self._group: ProcessGroup | None = None
        self._loaded: asyncio.Future[Ready] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._loss: Loss | None = None
        self._is_closed = False
        self.is_retiring = False
        """Another one is about to take its place."""
        self.is_leaving = False
        """It gets nothing new, and is closed when it has finished what it has."""
        self.takes_several = True
        """Whether the model takes several requests at once, as far as is known by now."""
        self.ended: Loss | None = None
        """Why it is gone, once it is."""
        self.heard_at = time.monotonic()
        """When it last said anything."""

    @property
    def pid(self) -> int | None:
        """The process, once there is one."""
        return self._group.pid if self._group else None

    async def start(self) -> Ready:
        """Start the process and load the model. Raises WorkerLost, with the reason."""
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        try:
            process, ours = self._spec.spawned()
        except OSError as error:
            raise WorkerLost(Loss(f"it could not be started: {error}")) from None
        self._ended = loop.create_future()
        self._group = ProcessGroup(process, self._has_ended)
        await loop.create_unix_connection(lambda: self, sock=ours)
        spec = self._spec
        load = {"op": "load", "handed": spec.handed, "config": spec.config, "engine": spec.engine}
        self._send({**load, "memory_limit": self._memory_limit})
        return await self._loaded

    def predict(self, calls: Sequence[Call], seconds: float) -> None:
        """Have calls answered together; the answers go to the listener, in order, each as soon as
        it is there. One batch at a time. After `seconds` nobody waits for them any more.
        """
        head = {"op": "predict", "calls": [told_call(call) for call in calls], "seconds": seconds}
        self._send(head, [call.body for call in calls])

    def generate(self, head: dict[str, Any]) -> None:
        """Begin a stream of text; what comes of it goes to the listener."""
        self._send({"op": "generate", **head})

    def cancel(self, key: int) -> None:
        """End a stream that nobody reads."""
        self._send({"op": "cancel", "key": key})

    def close(self, grace: float = 5.0) -> None:
        """Let the worker end when it has finished what it has, within `grace` seconds."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()
        loss = Loss("it was told to end, and did not")
        asyncio.get_running_loop().call_later(grace, self.kill, loss)

    def kill(self, loss: Loss) -> None:
        """End the process, and those that it has started, now; the listener is told the loss."""
        self._loss = self._loss or loss
        if self._group is not None:
            self._group.kill()

    async def wait(self) -> None:
        """Until the process has ended."""
        if self._ended is not None:
            await asyncio.shield(self._ended)

    # ------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = transport  # type: ignore[assignment]  # a socket's is a Transport

    def data_received(self, data: bytes) -> None:
        """The worker says something."""
        self.heard_at = time.monotonic()
        try:
            for head, body in self._unpacker.feed(data):
                self._hear(head, body)
        except (FrameError, LookupError, TypeError, ValueError, AttributeError) as error:
            log.error("worker %s speaks nonsense: %r", self.pid, error)
            self.kill(Loss("it did not answer in the server's language"))

    def connection_lost(self, _error: Exception | None) -> None:
        """It has ended, or has closed its end; its group knows which."""
        self._transport = None
        status = self._group.status if self._group else None
        if status is not None:
            self._tell_end(status)
        elif not self._is_closed:
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._end_speechless)

    def _end_speechless(self) -> None:
        self.kill(Loss("it closed its connection"))

    def _hear(self, head: dict[str, Any], body: bytes | bytearray) -> None:
        op = head["op"]
        if op == "events":
            self._listener.heard(self, head["events"])
        elif op == "answers":
            self.takes_several = head["takes_several"]
            self._listener.answered(self, answers_of(head["answers"], body))
        elif op == "ready" and self._loaded is not None and not self._loaded.done():
            self.takes_several = head["takes_several"]
            self._loaded.set_result(Ready(head["seconds"], head["generates"], head["memory"]))
        elif op == "failed":
            trace = head["trace"]
            self.kill(Loss(text_in(head["message"]), None if trace is None else text_in(trace)))
        if head.get("memory") is not None and op != "ready":
            self._listener.grew(self, head["memory"], is_spent=head["is_spent"])

    def _send(self, head: dict[str, Any], bodies: Sequence[bytes] = ()) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pack(head, bodies))

    # ---------------------------------------------------------------------------- the end

    def _has_ended(self, status: int) -> None:
        if self._transport is None:
            self._tell_end(status)
        else:  # what it has still said is read first
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._tell_end_at_last, status)

    def _tell_end_at_last(self, status: int) -> None:
        """Also where the loop never says that the connection is lost, as uvloop for one whose
        making was cancelled.
        """
        if self._transport is not None:
            self._transport.abort()
        self._tell_end(status)

    def _tell_end(self, status: int) -> None:
        assert self._ended is not None
        if self.ended is not None:
            return
        self.ended = loss = self._loss or loss_by(status)
        self._ended.set_result(None)
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(WorkerLost(loss))
            self._loaded.exception()  # looked at: who waited for it may have been cancelled
        self._listener.lost(self, loss)
