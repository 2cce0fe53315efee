"""One worker, seen from the server: a process, and the socket to it.

Belongs to the event loop. A worker answers predictions one batch at a time, and streams of text
beside each other. It leads a process group of its own, which ends with it: a child that the model
has started must not keep the socket, nor live on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.serving.calls import ModelFailed
from headrace.serving.spawning import PROGRAM, Reserve, Spawned, spawn
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.frames import MAX_TOLD, FrameError, Unpacker, pack

log = logging.getLogger("headrace.serving")

MAX_ANSWERS: Final = 1 << 30
"""Bytes that a worker may answer in one frame; see `worker.main.MAX_ANSWER`."""
_LAST_WORDS: Final = 1.0
"""Seconds after its end that a worker's socket may be kept open by a process of another group."""


@dataclass(frozen=True)
class WorkerSpec:
    """What it takes to start a worker: the same for all that serve one version."""

    python: Path
    """The interpreter of the model's environment."""
    handed: dict[str, Any]
    """The model, as `models.handover` hands it over."""
    config: dict[str, Any] | None = None
    """Goes over the model's own configuration."""
    engine: dict[str, Any] | None = None
    """Which engine makes text, and how many places and threads it has."""
    variables: Mapping[str, str] | None = None
    """Environment variables, beside the server's own."""
    program: tuple[str, ...] = PROGRAM
    """What the interpreter runs, before the number of the socket."""
    reserve: Reserve | None = None
    """Where a worker may be that was started ahead."""

    def spawned(self) -> Spawned:
        """The process of a worker, to be given the model. Raises OSError."""
        threads = (self.engine or {}).get("threads")
        ahead = self.reserve.take(self.python, threads) if self.reserve is not None else None
        return ahead or spawn(self.python, threads, self.variables, self.program)


@dataclass(frozen=True)
class Ready:
    """What a worker says when its model is loaded."""

    seconds: float
    """That loading took."""
    generates: dict[str, Any] | None
    """What makes text of the model, and how; None where it makes none."""
    memory: int | None
    """Bytes that the worker holds; None where nobody asked, or the system does not say."""


@dataclass(frozen=True)
class Loss:
    """Why a worker is gone."""

    reason: str
    trace: str | None = None
    """What its code raised, for the log."""
    is_hung: bool = False
    """It was ended here because it took too long."""
    is_outside: bool = False
    """Somebody else has killed it: a person, or the system for want of memory."""


class WorkerLost(Exception):
    """The process ended, or was ended, before its model was loaded."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.reason)
        self.loss = loss


class WorkerDied(ModelFailed):
    """The worker has ended over a request."""

    error_code = "INTERNAL_ERROR"
    http_status = 500


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
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded: asyncio.Future[Ready] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._status: int | None = None
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
        return self._process.pid if self._process else None

    async def start(self) -> Ready:
        """Start the process and load the model. Raises WorkerLost, with the reason."""
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        try:
            self._process, ours = self._spec.spawned()
        except OSError as error:
            raise WorkerLost(Loss(f"it could not be started: {error}")) from None
        self._ended = loop.create_future()
        name = f"worker-{self._process.pid}"
        threading.Thread(target=self._await_end, args=(loop,), name=name, daemon=True).start()
        await loop.create_unix_connection(lambda: self, sock=ours)
        spec = self._spec
        load = {"op": "load", "handed": spec.handed, "config": spec.config, "engine": spec.engine}
        self._send({**load, "memory_limit": self._memory_limit})
        return await self._loaded

    def predict(self, calls: Sequence[Call]) -> None:
        """Have calls answered together; the answers go to the listener, in order. One batch at a
        time.
        """
        heads = [[call.kind, call.content_type, len(call.body), call.options] for call in calls]
        self._send({"op": "predict", "calls": heads}, [call.body for call in calls])

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
        if self._process is not None and self._status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

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
        """It has ended, or has closed its end; `_await_end` tells which."""
        self._transport = None
        if self._status is None:
            if not self._is_closed:
                asyncio.get_running_loop().call_later(_LAST_WORDS, self._end_speechless)
        else:
            self._tell_end()

    def _end_speechless(self) -> None:
        self.kill(Loss("it closed its connection"))

    def _hear(self, head: dict[str, Any], body: bytes) -> None:
        op = head["op"]
        if op == "events":
            self._listener.heard(self, head["events"])
        elif op == "answers":
            self.takes_several = head["takes_several"]
            self._listener.answered(self, _answers(head["answers"], body))
        elif op == "ready" and self._loaded is not None and not self._loaded.done():
            self.takes_several = head["takes_several"]
            self._loaded.set_result(Ready(head["seconds"], head["generates"], head["memory"]))
        elif op == "failed":
            trace = head["trace"]
            self.kill(Loss(_text(head["message"]), None if trace is None else _text(trace)))
        if head.get("memory") is not None and op != "ready":
            self._listener.grew(self, head["memory"], is_spent=head["is_spent"])

    def _send(self, head: dict[str, Any], bodies: Sequence[bytes] = ()) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pack(head, bodies))

    # ---------------------------------------------------------------------------- the end

    def _await_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread: wait for the process, and end what it has started."""
        assert self._process is not None
        process = self._process
        if hasattr(os, "waitid"):  # so its number is nobody else's yet
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._has_ended, status)

    def _has_ended(self, status: int) -> None:
        self._status = status
        if self._transport is None:
            self._tell_end()
        else:  # what it has still said is read first
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._tell_end_at_last)

    def _tell_end_at_last(self) -> None:
        """Also where the loop never says that the connection is lost, as uvloop for one whose
        making was cancelled.
        """
        if self._transport is not None:
            self._transport.abort()
        self._tell_end()

    def _tell_end(self) -> None:
        assert self._status is not None
        assert self._ended is not None
        if self.ended is not None:
            return
        self.ended = loss = self._loss or _loss(self._status)
        self._ended.set_result(None)
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(WorkerLost(loss))
            self._loaded.exception()  # looked at: who waited for it may have been cancelled
        self._listener.lost(self, loss)


def _answers(told: list[list[Any]], body: bytes) -> list[Answered | Failed]:
    found: list[Answered | Failed] = []
    start = 0
    for size, content_type, rest in told:
        if content_type is None:
            found.append(Failed(**rest))
        else:
            headers = {name: _text(value) for name, value in rest.items()}
            found.append(Answered(body[start : start + size], _text(content_type), headers))
            start += size
    return found


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"no text: {told!r:.100}")
    return told


def _loss(status: int) -> Loss:
    if status >= 0:
        return Loss(f"it ended with status {status}")
    with suppress(ValueError):
        name = signal.Signals(-status).name
        return Loss(f"it was ended by {name}", is_outside=-status == signal.SIGKILL)
    return Loss(f"it was ended by signal {-status}")
