"""A version that gets a copy of the traffic and answers nobody.

It may be slow, wrong or dead: callers never notice. What it cannot keep up with is dropped, and
counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.serving.engines.base import Refused
from headrace.serving.recording import Recorder, Recording
from headrace.serving.served_version import ServedVersion
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call

log = logging.getLogger("headrace.serving")

_Work = Callable[..., Coroutine[Any, Any, None]]

_MOST_UNDER_WAY: Final = 256
_MOST_BYTES: Final = 256 << 20
"""Bytes of requests and answers that are kept for copies under way."""


@dataclass
class ShadowCounts:
    """What has become of the copies."""

    answered: int = 0
    same: int = 0
    """Predictions that were, byte for byte, what the caller was given."""
    failed: int = 0
    dropped: int = 0
    """Copies that came while too many were under way."""


class Shadow:
    """See the module. Belongs to the event loop."""

    def __init__(self, name: str, current: ServedVersion, recorder: Recorder | None = None) -> None:
        self.name = name
        self.current = current
        self.counts = ShadowCounts()
        self._recorder = recorder
        self._under_way: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def predict(self, call: Call, answered: Answered) -> None:
        """Predict for a copy of a call that `answered` was the answer to."""
        self._run(len(call.body) + len(answered.body), self._predict, call, answered)

    def generate(self, head: dict[str, Any]) -> None:
        """Make text for a copy of a request."""
        self._run(0, self._generate, head)

    def _run(self, size: int, work: _Work, *arguments: Any) -> None:
        """Do the work, which keeps so many bytes, unless that would be too much at once."""
        if len(self._under_way) >= _MOST_UNDER_WAY or self._bytes + size > _MOST_BYTES:
            self.counts.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(work(*arguments))
        self._under_way.add(task)
        self._bytes += size

        def end(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            self._bytes -= size

        task.add_done_callback(end)

    async def _predict(self, call: Call, answered: Answered) -> None:
        recording = self._recording()
        exchange = recording.begin(call) if recording else None
        body: bytes | bytearray = b""
        failure = None
        try:
            body = (await self.current.pool.predict(call)).body
        except HeadraceError as error:
            failure = error.message
        self.counts.same += failure is None and body == answered.body
        self._count(failure)
        if exchange is not None:
            exchange.end(body, failure)

    async def _generate(self, head: dict[str, Any]) -> None:
        events = self.current.pool.generate(head)
        recording = self._recording()
        if recording is not None:
            events = recording.events(events, head)
        failure: str | None = None
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Refused):
                        failure = event.message
        except HeadraceError as error:
            failure = error.message
        self._count(failure)

    def _recording(self) -> Recording | None:
        if self._recorder is None:
            return None
        label = self.current.version.label
        return Recording(self._recorder, self.name, label, is_shadow=True)

    def _count(self, failure: str | None) -> None:
        if failure is None:
            self.counts.answered += 1
        else:
            if not self.counts.failed:  # the others are counted
                uri = self.current.version.uri
                log.warning("the shadow %s of %s has failed: %s", uri, self.name, failure)
            self.counts.failed += 1
