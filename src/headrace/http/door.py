"""How many connections a server has room for, and what those beyond it are told.

Each takes a descriptor, of which a process has so many. At the system's limit nothing can be
accepted and no file be opened any more, so a server ends up there never: it answers 503 before.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from typing import Final

from headrace.errors import InvalidRequest
from headrace.http.answers import ErrorBody
from headrace.protocol.codec import encode

log = logging.getLogger("headrace.server")

MOST: Final = 10_000
"""Connections that a server takes where nobody says, and the system lets it."""
_ENOUGH: Final = 1 << 16
"""Open files that nothing here needs more of."""
_LINGERING: Final = 64
"""Connections beyond the limit that are kept at a time until their clients have read why."""
_OTHERS: Final = 64
"""Open files that a process needs for all else."""
_LINGER: Final = 1.0
_SAID_EVERY: Final = 60.0


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows it to, if it asks."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for(chosen: int | None) -> int:
    """How many connections to take: as many as were chosen, else half of the files that may be
    open. Raises InvalidRequest for more than the system allows.
    """
    files = _file_limit()
    if chosen is None:
        return max(1, min(MOST, files // 2))
    if chosen > files - _LINGERING - _OTHERS:
        raise InvalidRequest(
            f"The most connections is {chosen}, but the system lets this process open {files} "
            f"files, of which it needs {_LINGERING + _OTHERS} for other things. Choose fewer, or "
            "raise the system's limit (ulimit -n)."
        )
    return chosen


def _file_limit() -> int:
    if sys.platform == "win32":
        return _ENOUGH
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else min(soft, _ENOUGH)


def refusal(status: bytes, code: str, message: str, more: bytes = b"") -> bytes:
    """An error that ends its connection, as it is written; `more` are lines of headers."""
    body = encode(ErrorBody(code, message))
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b"
        b"connection: close\r\n\r\n%b" % (status, len(body), more, body)
    )


class Door:
    """Turns away connections that there is no room for. Belongs to one event loop."""

    def __init__(self, room: int) -> None:
        self.room = room
        """Connections that may be open."""
        self._answer = refusal(
            b"503 Service Unavailable",
            "TEMPORARILY_UNAVAILABLE",
            f"The server has {room} connections open, the most that it takes; try again soon.",
            b"retry-after: 1\r\n",
        )
        self._lingering: set[TurnedAway] = set()
        self._said_at = -_SAID_EVERY

    def turn_away(self, transport: asyncio.Transport) -> None:
        """Say that there is no room, and close."""
        now = time.monotonic()
        if now - self._said_at >= _SAID_EVERY:
            self._said_at = now
            log.warning(
                "%d connections are open, the most that this server takes; others are answered "
                "503. --max-connections changes that.",
                self.room,
            )
        transport.write(self._answer)
        transport.set_protocol(TurnedAway(transport, self._lingering))


class TurnedAway(asyncio.Protocol):
    """A connection that was turned away, until its client has hung up, for a second at most. What
    it sends is read and forgotten: with something unread, the system would take the answer back.
    """

    def __init__(self, transport: asyncio.Transport, lingering: set[TurnedAway]) -> None:
        self._lingering = lingering
        self._end: asyncio.TimerHandle | None = None
        if len(lingering) >= _LINGERING:
            transport.close()
            return
        lingering.add(self)
        transport.write_eof()
        self._end = asyncio.get_running_loop().call_later(_LINGER, transport.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is closed."""
        if self._end is not None:
            self._end.cancel()
            self._lingering.discard(self)
