"""A worker: loads one model, and answers what comes over its socket until that closes.

One thread does all of it, so that a model is never called by two at a time. What is asked while it
predicts waits in the socket.
"""

from __future__ import annotations

import gc
import logging
import math
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.models.handover import load_handed
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.calls import DeadlineExceeded
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
_SOON: Final = 0.05
"""Seconds after which those that are there are sent, though others are still missing."""
_LATE: Final = Failed(
    "The requests that came together with this one took all of the time that there was. The "
    "server's --timeout sets that.",
    DeadlineExceeded.error_code,
    DeadlineExceeded.http_status,
)
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
            self._predict(calls_of(head["calls"], body), head.get("seconds"))
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

    def _predict(self, calls: Sequence[Call], seconds: float | None) -> None:
        """Answer calls, each as soon as its answer is there. Nobody waits for them any more after
        `seconds`, where these are given.
        """
        scorer = self._scorer
        assert scorer is not None, "the server asks only what has said that it is ready"
        spoke = time.monotonic()
        until = math.inf if seconds is None else spoke + seconds
        told: list[list[Any]] = []
        bodies: list[bytes | bytearray] = []
        size, is_spent = 0, False
        answers = _in_time(_answers_of(scorer, calls), len(calls), until)
        for place, answer in enumerate(answers, 1):
            told.append(told_answer(answer))
            if isinstance(answer, Answered):
                bodies.append(answer.body)
                size += len(answer.body)
            else:
                size += _WIDEST * (len(answer.message) + len(answer.trace or ""))
                is_spent = is_spent or _is_out_of_memory(answer)
            now = time.monotonic()
            if place < len(calls) and (size > _FRAME or now - spoke > _SOON):
                self._say_answers(told, bodies)
                told, bodies, size, spoke = [], [], 0, now
        memory = {"memory": held_memory(), "is_spent": is_spent} if self._memory_limit else {}
        self._say_answers(told, bodies, memory)

    def _say_answers(
        self,
        told: list[list[Any]],
        bodies: list[bytes | bytearray],
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        assert self._scorer is not None
        takes_several = self._scorer.takes_several
        head = {"op": "answers", "takes_several": takes_several, "answers": told}
        self._say({**head, **(memory or {})}, bodies)

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


def _answers_of(scorer: Scorer, calls: Sequence[Call]) -> Iterator[Answered | Failed]:
    """What the scorer answers. A model that wants to end the process fails for its request alone:
    where several were answered together, for the one of them that does it.
    """
    found = scorer.answer(calls)
    for place in range(len(calls)):
        answer: Answered | Failed | None
        try:
            answer = _bounded(next(found))
        except BaseException as error:  # noqa: BLE001 - exit() and the like, in the model's code
            answer = raised_by(error) if len(calls) == 1 else None
        if answer is None:
            for call in calls[place:]:
                yield from _answers_of(scorer, [call])
            return
        yield answer


def _in_time(
    answers: Iterator[Answered | Failed], count: int, until: float
) -> Iterator[Answered | Failed]:
    """The first of them in any case, and the others as long as somebody waits for them."""
    for place in range(count):
        yield next(answers) if not place or time.monotonic() < until else _LATE


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
