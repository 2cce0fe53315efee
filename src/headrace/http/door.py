"""How many connections a server has room for, which give way, and what those beyond it are told.

Each takes a descriptor, of which a process has so many. At the system's limit nothing can be
accepted and no file be opened any more, so a server ends up there never. With as many open as it
has room for, the next takes the place of one that only waits for its client; where there is none,
it is answered 503.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final, Protocol

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


class Waits(IntEnum):
    """What a connection waits for, whose client is owed nothing. The first give way first."""

    FIRST_REQUEST = 0
    """Not a byte has come."""
    NEXT_REQUEST = 1
    """All that was asked is answered."""
    REST_OF_HEAD = 2
    """A request has begun, and nothing of it is known to anybody."""


_PATIENCE: Final = (1.0, 1.0, 10.0)
"""Seconds for which a connection keeps its place, for each of `Waits`. A client that asked a moment
ago is likely to ask again, and what it sends just when its connection is closed is lost to it: it
can repeat a GET by itself, but not every POST. Of those who were silent for a second, hardly one
speaks in the very millisecond in which it is closed. A head comes in one go, unless somebody means
to hold a place."""
_LOOK_EVERY: Final = min(_PATIENCE)
"""Seconds between two looks at all connections: who did not wait at the last look has waited for
less."""


class Guest(Protocol):
    """What the door asks of a connection."""

    transport: asyncio.Transport

    def waits(self) -> tuple[Waits, float] | None:
        """What it waits for, and since when on the loop's clock; None if anything is to be done."""
        ...


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
    """Decides who may stay where there is no room for all. Belongs to one event loop."""

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
        self._waiting: list[list[tuple[float, Guest]]] | None = None
        self._said_at: dict[str, float] = {}

    def admits(self, guests: set[Any]) -> bool:
        """Whether there is room for one more than these guests, of whom one may leave for it."""
        return len(guests) < self.room or self._make_room(guests)

    def _make_room(self, guests: set[Any]) -> bool:
        """Close who has waited longest, if it was long enough, and take it from `guests`.

        Costs requests nothing, and looks at all guests once a second at most, however many come.
        """
        loop = asyncio.get_running_loop()
        if self._waiting is None:
            self._waiting = _longest_last(guests)
            loop.call_later(_LOOK_EVERY, self._forget)
        for what, waiting in zip(Waits, self._waiting, strict=True):
            latest = loop.time() - _PATIENCE[what]
            while waiting and waiting[-1][0] <= latest:
                since, guest = waiting.pop()
                if guest.waits() == (what, since):
                    self._say("idle ones are closed for new ones")
                    guests.discard(guest)
                    guest.transport.close()
                    return True
        return False

    def _forget(self) -> None:
        self._waiting = None

    def turn_away(self, transport: asyncio.Transport) -> None:
        """Say that there is no room, and close."""
        self._say("none of them is idle, and others are answered 503")
        transport.write(self._answer)
        transport.set_protocol(TurnedAway(transport, self._lingering))

    def _say(self, what: str) -> None:
        now = time.monotonic()
        if now - self._said_at.get(what, -_SAID_EVERY) >= _SAID_EVERY:
            self._said_at[what] = now
            log.warning(
                "%d connections are open, the most that this server takes; %s. --max-connections "
                "changes that.",
                self.room,
                what,
            )


def _longest_last(guests: set[Any]) -> list[list[tuple[float, Guest]]]:
    """Those that wait, for each of `Waits`, with the time since when."""
    found: list[list[tuple[float, Guest]]] = [[] for _ in Waits]
    for guest in guests:
        if (waits := guest.waits()) is not None:
            found[waits[0]].append((waits[1], guest))
    for each in found:
        each.sort(key=_since, reverse=True)
    return found


def _since(entry: tuple[float, Guest]) -> float:
    return entry[0]


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
