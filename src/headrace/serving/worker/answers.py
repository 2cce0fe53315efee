"""What a worker answers to one call."""

from __future__ import annotations

from dataclasses import dataclass, field

JSON = "application/json"


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
