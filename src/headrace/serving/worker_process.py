"""One worker, seen from the server: a process, the socket to it, and what it was asked.

Belongs to the event loop. A worker answers predictions one batch at a time, and streams of text
beside each other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.serving.worker import boot
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.frames import FrameError, Unpacker, pack

log = logging.getLogger("headrace.serving")

_NOT_PASSED: Final = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"))


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

    def load_frame(self) -> bytes:
        """The first thing that a worker is told."""
        return pack(
            {"op": "load", "handed": self.handed, "config": self.config, "engine": self.engine}
        )


@dataclass(frozen=True)
class Ready:
    """What a worker says when its model is loaded."""

    seconds: float
    generates: dict[str, Any] | None


class WorkerLost(Exception):
    """The process ended, or was ended, before it answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkerProcess(asyncio.Protocol):
    """See the module.

    `on_events` gets the events of streams; `on_lost` is called once, at the end, with the reason.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        on_events: Callable[[list[list[Any]]], None],
        on_lost: Callable[[WorkerProcess, str], None],
    ) -> None:
        self._spec = spec
        self._on_events = on_events
        self._on_lost = on_lost
        self._unpacker = Unpacker()
        self._transport: asyncio.Transport | None = None
        self._loaded: asyncio.Future[Ready] | None = None
        self._asked: asyncio.Future[list[Answered | Failed]] | None = None
        self._lost: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self._asked is not None

    async def start(self) -> Ready:
        """Start the process and load the model. Raises WorkerLost, with the reason."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            # -I -P: nothing but the interpreter's own packages, not even the working folder.
            words = [str(self._spec.python), "-I", "-P", boot.__file__]
            words += ["headrace.serving.worker.main", str(theirs.fileno())]
            inherited = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED}
            self.process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few ms; no shell
                words,
                stdin=subprocess.DEVNULL,
                env={**inherited, **(self._spec.variables or {})},
                pass_fds=(theirs.fileno(),),
            )
        self._loaded = loop.create_future()
        await loop.create_unix_connection(lambda: self, sock=ours)
        self._watch(loop)
        self._send(self._spec.load_frame())
        return await self._loaded

    def predict(self, calls: Sequence[Call]) -> asyncio.Future[list[Answered | Failed]]:
        """Answers to calls, predicted together. The future raises WorkerLost when it dies."""
        assert self._asked is None, "one batch at a time"
        done: asyncio.Future[list[Answered | Failed]] = asyncio.get_running_loop().create_future()
        self._asked = done
        heads = [
            {
                "key": key,
                "kind": call.kind,
                "type": call.content_type,
                "size": len(call.body),
                "options": call.options,
            }
            for key, call in enumerate(calls)
        ]
        self._send(pack({"op": "predict", "calls": heads}, b"".join(c.body for c in calls)))
        return done

    def generate(self, head: dict[str, Any]) -> None:
        """Begin a stream of text; what comes of it goes to `on_events`."""
        self._send(pack({"op": "generate", **head}))

    def cancel(self, key: int) -> None:
        """End a stream that nobody reads."""
        self._send(pack({"op": "cancel", "key": key}))

    def close(self) -> None:
        """Let the worker end by itself; what is under way is lost."""
        if self._transport is not None:
            self._transport.close()

    def kill(self, reason: str) -> None:
        """End the process now; `on_lost` is called with the reason."""
        self._lost = self._lost or reason
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    # ------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = transport  # type: ignore[assignment]  # a socket's is a Transport

    def data_received(self, data: bytes) -> None:
        """The worker says something."""
        try:
            for head, body in self._unpacker.feed(data):
                self._hear(head, body)
        except (FrameError, KeyError, TypeError, ValueError) as error:
            log.error("worker %s speaks nonsense: %r", self._pid, error)
            self.kill("it did not answer in the server's language")

    def connection_lost(self, _error: Exception | None) -> None:
        """The worker has closed its end, or has ended."""
        self.kill("it closed its connection")

    def _hear(self, head: dict[str, Any], body: bytes) -> None:
        op = head["op"]
        if op == "events":
            self._on_events(head["events"])
        elif op == "answers" and self._asked is not None:
            done = self._asked
            self._asked = None
            answers = _answers(head["answers"], body)
            if not done.done():
                done.set_result(answers)
        elif op == "ready" and self._loaded is not None:
            self._loaded.set_result(Ready(head["seconds"], head["generates"]))
        elif op == "failed" and self._loaded is not None:
            if head["trace"]:
                log.error("%s", head["trace"])
            self._lost = head["message"]
            self.close()

    def _send(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    @property
    def _pid(self) -> int | None:
        return self.process.pid if self.process else None

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notice the end of the process, also where children of it keep the socket open."""
        assert self.process is not None
        if sys.platform != "linux":
            return
        descriptor = os.pidfd_open(self.process.pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._ended()

        loop.add_reader(descriptor, ended)

    def _ended(self) -> None:
        assert self.process is not None
        status = self.process.wait()
        if self._transport is not None:
            self._transport.close()
        reason = self._lost or _ending(status)
        for future in (self._loaded, self._asked):
            if future is not None and not future.done():
                future.set_exception(WorkerLost(reason))
        self._asked = None
        self._on_lost(self, reason)


def _answers(heads: list[dict[str, Any]], body: bytes) -> list[Answered | Failed]:
    found: list[Answered | Failed] = []
    start = 0
    for head in heads:
        end = start + head["size"]
        if "failed" in head:
            found.append(Failed(**head["failed"]))
        else:
            found.append(Answered(body[start:end], head["type"], head["headers"]))
        start = end
    return found


def _ending(status: int) -> str:
    if status < 0:
        import signal

        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    return f"it ended with status {status}"
