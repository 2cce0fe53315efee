"""Where monitoring takes hold: every exchange, handed over after its answer has left.

Whatever format a request came in, it is one internal call here, so recording is written once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from headrace.errors import HeadraceError
from headrace.serving.engines.base import Event, Piece, Refused
from headrace.serving.worker.calls import JSON, Call


class Exchange(NamedTuple):  # made for each request: a frozen dataclass takes four times as long
    """One request to a model and what came of it."""

    model: str
    """The name that the model is served under."""
    version: str
    """The version that answered."""
    kind: str
    """The kind of the call (`invocations`, `infer` …); `generate` for text."""
    content_type: str
    request: bytes | Mapping[str, Any]
    """The body as it came; for text, what was asked: `messages` or `prompt`, and `sampling`."""
    answer: bytes | bytearray
    """The body of the answer; for text, that of its first choice. Empty where it failed."""
    failure: str | None
    """Why there is no answer."""
    received: float
    """Seconds since the epoch."""
    seconds: float
    """From the request to the end of the answer."""
    is_shadow: bool = False
    """Whether nobody was given this answer."""


class Recorder(Protocol):
    """Takes exchanges. Called on the server's event loop: returns at once, and never raises."""

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange, or count it as dropped."""
        ...


@dataclass(slots=True)  # not frozen, for the same reason
class Recording:
    """Records the exchanges with one version."""

    recorder: Recorder
    model: str
    version: str
    is_shadow: bool = False

    def begin(self, call: Call) -> OpenExchange:
        """A call has come."""
        return OpenExchange(self, call.kind, call.content_type, call.body)

    async def events(
        self, events: AsyncGenerator[Event, None], head: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        """The same events; at their end, or when the caller leaves, the exchange is recorded."""
        exchange = OpenExchange(self, "generate", JSON, head)
        text: list[str] = []
        failure: str | None = None
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Piece) and event.index == 0:
                        text.append(event.text)
                    elif isinstance(event, Refused):
                        failure = event.message
                    yield event
        except HeadraceError as error:
            failure = error.message
            raise
        finally:
            exchange.end("".join(text).encode(), failure)


class OpenExchange:
    """An exchange that is under way."""

    __slots__ = ("_began", "_content_type", "_kind", "_received", "_recording", "_request")

    def __init__(
        self,
        recording: Recording,
        kind: str,
        content_type: str,
        request: bytes | Mapping[str, Any],
    ) -> None:
        self._recording = recording
        self._kind = kind
        self._content_type = content_type
        self._request = request
        self._received = time.time()
        self._began = time.perf_counter()

    def end(self, answer: bytes | bytearray, failure: str | None = None) -> None:
        """It is over: to be recorded in the next round of the event loop, when the answer is
        written.
        """
        recording = self._recording
        exchange = Exchange(
            recording.model,
            recording.version,
            self._kind,
            self._content_type,
            self._request,
            answer,
            failure,
            self._received,
            time.perf_counter() - self._began,
            recording.is_shadow,
        )
        asyncio.get_running_loop().call_soon(recording.recorder.record, exchange)
