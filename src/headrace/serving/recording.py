"""Where monitoring will take hold: every exchange, handed over after its answer has left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    model: str
    version: str
    path: str
    content_type: str
    request: bytes
    status: int
    answer: bytes
    """Empty where it was streamed."""
    received: float
    """Seconds since the epoch."""
    seconds: float
    """From the request's last byte to the answer."""
    is_shadow: bool = False
    """Whether nobody was given this answer."""


class Recorder(Protocol):
    """Takes exchanges. Called on the server's event loop: must return at once, and never raise."""

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange, or count it as dropped."""
        ...
