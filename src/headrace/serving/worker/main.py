"""A worker: loads one model, and answers what comes over its socket until that closes.

One thread does all of it, so that a model is never called by two at a time. What is asked while it
predicts waits in the socket.
"""

from __future__ import annotations

import gc
import logging
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.models.handover import load_handed
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.engines.memory import count_on, held_memory
from headrace.serving.engines.raised import cut, message_of, trace_of
from headrace.serving.worker import process
from headrace.serving.worker.answers import Answered, Failed, raised_by, told_answer
from headrace.serving.worker.calls import Call, calls_of
from headrace.serving.worker.frames import Unpacker, pack
from headrace.serving.worker.generating import Generator, generator_for
from headrace.serving.worker.preparing import import_libraries
from headrace.serving.worker.said_once import SaidOnce
from headrace.serving.worker.scoring import Scorer

MAX_ANSWER: Final = 512 << 20
"""Bytes of one answer at most: more would fill the server's memory."""
_CHUNK: Final = 1 << 18
_FRAME: Final = 4 << 20
"""Bytes of answers after which those that are there are sent."""
_WIDEST: Final = 12
"""Bytes that a character may take in the head of a frame."""
_SIGN_OF_LIFE: Final = 1.0
"""Seconds after which a worker that makes text says that it still does, though there is none."""

MakeGenerator = Callable[[PyFuncModel, dict[str, Any]], Generator | None]


class BrokenEngineError(Exception):
    """What made text has failed for all, and cannot be used again."""


def main(arguments: list[str], make_generator: MakeGenerator = generator_for) -> int:
    """Serve on the socket whose descriptor is the only argument; the exit status."""
    logging.getLogger("headrace").addFilter(SaidOnce())
    with socket.socket(fileno=int(arguments[0])) as connection:
        process.belong_to_parent(connection)
        return Worker(connection, make_generator).run()


class Worker:
    """See the module."""

    def __init__(self, connection: socket.socket, make_generator: MakeGenerator) -> None:
        self._socket = connection
        # Not `select`, which takes no descriptor of 1024 and more: this one has the number that it
        # had in the server.
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._make_generator = make_generator
        self._unpacker = Unpacker()
        self._generator: Generator | None = None
        self._scorer: Scorer | None = None
        self._memory_limit: int | None = None
        self._spoke_at = 0.0

    def run(self) -> int:
        """Answer until the other end closes; the exit status."""
        try:
            while True:
                generator = self._generator
                busy = generator is not None and not generator.is_idle
                if not busy or self._poll.poll(0):
                    data = self._socket.recv(_CHUNK)
                    if not data:
                        return 0
                    for head, body in self._unpacker.feed(data):
                        self._take(head, body)
                if generator is not None and not generator.is_idle:
                    self._step(generator)
        except BrokenEngineError as error:
            cause = error.__cause__
            self._say_failure(f"the model could not go on: {message_of(cause)}", cause)
            return 1
        except (BrokenPipeError, ConnectionResetError):
            return 0

    def _take(self, head: dict[str, Any], body: bytes | bytearray) -> None:
        op = head["op"]
        if op == "predict":
            self._predict(calls_of(head["calls"], body))
        elif op == "generate" and self._generator is not None:
            self._generator.add(head)
        elif op == "cancel" and self._generator is not None:
            self._generator.cancel(head["key"])
        elif op == "load":
            self._load(head)
        elif op == "prepare":
            import_libraries(head["flavors"])

    def _load(self, head: dict[str, Any]) -> None:
        began = time.monotonic()
        limit = head.get("memory_limit")
        if limit:
            count_on(limit)
        try:
            model: PyFuncModel = load_handed(head["handed"], head.get("config"))
            self._scorer = Scorer(model)
            self._generator = self._make_generator(model, head.get("engine") or {})
        except HeadraceError as error:
            self._say_failure(error.message, error)
            return
        except BaseException as error:  # noqa: BLE001 - loading runs the model's code, exit() too
            self._say_failure(message_of(error), error)
            return
        # What the model and its libraries made lives as long as the worker: nothing to look for.
        gc.collect()
        gc.freeze()
        memory = held_memory() if limit else None
        if limit and memory:
            if memory > limit:
                text = f"it holds {memory:,} bytes once it is loaded; the limit is {limit:,}"
                self._say_failure(text, None)
                return
            self._memory_limit = limit
            process.refuse_memory_beyond(limit + limit // 4 - memory)
        self._say(
            {
                "op": "ready",
                "generates": None if self._generator is None else self._generator.facts,
                "takes_several": self._scorer.takes_several,
                "seconds": time.monotonic() - began,
                "memory": memory,
            }
        )

    def _predict(self, calls: Sequence[Call]) -> None:
        assert self._scorer is not None, "the server asks only what has said that it is ready"
        answers = _answers_of(self._scorer, calls)
        head: dict[str, Any] = {"op": "answers", "takes_several": self._scorer.takes_several}
        told: list[list[Any]] = []
        bodies: list[bytes | bytearray] = []
        size = 0
        for answer in answers:
            if size > _FRAME:
                self._say({**head, "answers": told}, bodies)
                told, bodies, size = [], [], 0
            told.append(told_answer(answer))
            if isinstance(answer, Answered):
                bodies.append(answer.body)
                size += len(answer.body)
            else:
                size += _WIDEST * (len(answer.message) + len(answer.trace or ""))
        if self._memory_limit:
            head["memory"] = held_memory()
            head["is_spent"] = any(map(_is_out_of_memory, answers))
        self._say({**head, "answers": told}, bodies)

    def _step(self, generator: Generator) -> None:
        try:
            events = generator.step()
        except BaseException as error:
            raise BrokenEngineError from error
        now = time.monotonic()
        if events or now - self._spoke_at > _SIGN_OF_LIFE:
            head: dict[str, Any] = {"op": "events", "events": events}
            if self._memory_limit:
                head.update(memory=held_memory(), is_spent=False)
            self._say(head)
            self._spoke_at = now

    def _say_failure(self, message: str, error: BaseException | None) -> None:
        ours = isinstance(error, HeadraceError)
        kind = type(error).__name__ if ours else None
        trace = trace_of(error) if error and not ours else None
        self._say({"op": "failed", "message": cut(message), "trace": trace, "kind": kind})

    def _say(self, head: dict[str, Any], bodies: Sequence[bytes | bytearray] = ()) -> None:
        for piece in pack(head, bodies):
            self._socket.sendall(piece)


def _answers_of(scorer: Scorer, calls: Sequence[Call]) -> list[Answered | Failed]:
    """What the scorer answers. A model that wants to end the process fails for its request alone:
    where several were answered together, for the one of them that does it.
    """
    try:
        answers = scorer.answer(calls)
        assert len(answers) == len(calls)
        return [_bounded(answer) for answer in answers]
    except BaseException as error:  # noqa: BLE001 - exit() and the like, in the model's code
        if len(calls) == 1:
            return [raised_by(error)]
    return [answer for call in calls for answer in _answers_of(scorer, [call])]


def _bounded(answer: Answered | Failed) -> Answered | Failed:
    if isinstance(answer, Answered) and len(answer.body) > MAX_ANSWER:
        return Failed(
            f"The prediction has {len(answer.body):,} bytes; {MAX_ANSWER:,} at most can be sent. "
            "Ask for fewer rows at a time."
        )
    return answer


def _is_out_of_memory(answer: Answered | Failed) -> bool:
    """Whether the model got no more memory: what it left behind then is not to be relied on."""
    if isinstance(answer, Answered) or not answer.trace:
        return False
    last = answer.trace.rstrip().rpartition("\n")[2]
    return last.partition(":")[0].endswith("MemoryError")
