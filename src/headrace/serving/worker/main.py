"""A worker: loads one model, and answers what comes over its socket until that closes.

One thread does all of it, so that a model is never called by two at a time. What is asked while it
predicts waits in the socket.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.models.handover import load_handed
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.frames import Unpacker, pack
from headrace.serving.worker.generating import Generator, generator_for
from headrace.serving.worker.scoring import Scorer

_CHUNK: Final = 1 << 18
_SET_PARENT_DEATH_SIGNAL: Final = 1


def main(arguments: list[str]) -> None:
    """Serve on the socket whose descriptor is the only argument."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    os.dup2(2, 1)  # what the model prints is no answer of anybody's
    with socket.socket(fileno=int(arguments[0])) as connection:
        Worker(connection).run()


class Worker:
    """See the module."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._unpacker = Unpacker()
        self._generator: Generator | None = None
        self._scorer: Scorer | None = None

    def run(self) -> None:
        """Answer until the other end closes."""
        while True:
            busy = self._generator is not None and not self._generator.is_idle
            if not busy or select.select([self._socket], [], [], 0)[0]:
                data = self._socket.recv(_CHUNK)
                if not data:
                    return
                for head, body in self._unpacker.feed(data):
                    self._take(head, body)
            if self._generator is not None and not self._generator.is_idle:
                events = self._generator.step()
                if events:
                    self._say({"op": "events", "events": events})

    def _take(self, head: dict[str, Any], body: bytes) -> None:
        op = head["op"]
        if op == "load":
            self._load(head)
        elif op == "predict":
            self._predict(head["calls"], body)
        elif op == "generate" and self._generator is not None:
            self._generator.add(head)
        elif op == "cancel" and self._generator is not None:
            self._generator.cancel(head["key"])

    def _load(self, head: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            model: PyFuncModel = load_handed(head["handed"], head.get("config"))
            self._scorer = Scorer(model)
            self._generator = generator_for(model, head.get("engine") or {})
        except Exception as error:  # noqa: BLE001 - loading runs the model's own code
            known = isinstance(error, HeadraceError)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            trace = None if known else traceback.format_exc()
            self._say({"op": "failed", "message": text, "trace": trace})
            return
        generates = None if self._generator is None else self._generator.facts
        seconds = time.monotonic() - began
        self._say({"op": "ready", "generates": generates, "seconds": seconds})

    def _predict(self, heads: list[dict[str, Any]], body: bytes) -> None:
        calls, start = [], 0
        for each in heads:
            end = start + each["size"]
            calls.append(Call(each["kind"], body[start:end], each["type"], each["options"]))
            start = end
        assert self._scorer is not None, "the server asks only what has said that it is ready"
        answers = self._scorer.answer(calls)
        told, bodies = [], []
        for each, answer in zip(heads, answers, strict=True):
            told.append({"key": each["key"], **_told(answer)})
            bodies.append(answer.body if isinstance(answer, Answered) else b"")
        self._say({"op": "answers", "answers": told}, b"".join(bodies))

    def _say(self, head: dict[str, Any], body: bytes = b"") -> None:
        self._socket.sendall(pack(head, body))


def _told(answer: Answered | Failed) -> dict[str, Any]:
    if isinstance(answer, Failed):
        return {"size": 0, "failed": vars(answer)}
    return {"size": len(answer.body), "type": answer.content_type, "headers": answer.headers}


def _end_with_parent() -> None:
    """A model that hangs would not see the socket close when the server is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
