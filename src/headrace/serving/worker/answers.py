"""What a worker answers to one call, and how frames carry it: a list, and the body beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import HeadraceError
from headrace.serving.engines.raised import cut, message_of, origin_of, trace_of
from headrace.serving.worker.calls import JSON
from headrace.serving.worker.frames import text_in


@dataclass(frozen=True)
class Answered:
    """A prediction, encoded as its caller reads it."""

    body: bytes | bytearray
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """Why there is no prediction: the request's fault (`code` says which), or the model's."""

    message: str
    code: str = "BAD_REQUEST"
    status: int = 400
    trace: str | None = None
    """What the model's code raised, for the log and for `--debug`; never for callers otherwise."""
    origin: str = ""
    """Of what it raised, see `origin_of`."""


def failed_by(error: Exception) -> Failed:
    """What is told of what the model's code, or the reading of a request for it, has raised."""
    if isinstance(error, HeadraceError):
        return Failed(cut(error.message), error.error_code, error.http_status)
    return raised_by(error)


def raised_by(error: BaseException) -> Failed:
    """The same, where it is known to be no refusal of ours."""
    message = f"The model could not predict: {message_of(error)}"
    if isinstance(error, MemoryError):
        message = "The model ran out of memory over this request."
    return Failed(message, trace=trace_of(error), origin=origin_of(error))


def told_answer(answer: Answered | Failed) -> list[Any]:
    """An answer as a list, without its body."""
    if isinstance(answer, Answered):
        return [len(answer.body), answer.content_type, answer.headers]
    return [0, None, vars(answer)]


def answers_of(told: Sequence[list[Any]], body: bytes | bytearray) -> list[Answered | Failed]:
    """The answers that `told_answer` made lists of, their bodies together in `body`. Raises
    ValueError, TypeError, AttributeError for what is none.
    """
    found: list[Answered | Failed] = []
    start = 0
    for size, content_type, rest in told:
        if content_type is None:
            found.append(Failed(**rest))
        else:
            headers = {name: text_in(value) for name, value in rest.items()}
            # One that fills its frame is not copied.
            own = body if (start, size) == (0, len(body)) else body[start : start + size]
            found.append(Answered(own, text_in(content_type), headers))
            start += size
    return found
