"""What a worker answers to one call."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.errors import HeadraceError
from headrace.serving.engines.raised import cut, message_of, trace_of
from headrace.serving.worker.calls import JSON


@dataclass(frozen=True)
class Answered:
    """A prediction, encoded as its caller reads it."""

    body: bytes
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


def failed_by(error: Exception) -> Failed:
    """What is told of what the model's code, or the reading of a request for it, has raised."""
    if isinstance(error, HeadraceError):
        return Failed(cut(error.message), error.error_code, error.http_status)
    trace = trace_of(error)
    if isinstance(error, MemoryError):
        return Failed("The model ran out of memory over this request.", trace=trace)
    return Failed(f"The model could not predict: {message_of(error)}", trace=trace)
