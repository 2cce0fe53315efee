"""What a client may send before it was answered: requests in a row on one connection.

uvicorn parses all that it reads, and reads on whenever the request under way looks whether its
caller is still there; so what waits grows without end while one answer takes long. Here a
connection that has enough waiting is not read, and of what was read already only as much is parsed.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

PIECE: Final = 1 << 12
"""Bytes that are parsed at a time: a read may hold thousands of small requests, and each costs a
hundred times its length once it is parsed."""
_MOST: Final = 16
_MOST_BYTES: Final = 1 << 20


class Waiting:
    """How much waits on one connection, and what was read but is not parsed yet."""

    __slots__ = ("_bytes", "unparsed")

    def __init__(self) -> None:
        self._bytes = 0
        self.unparsed = b""

    def add(self, length: int) -> None:
        """So many bytes were parsed while requests waited."""
        self._bytes += length

    def is_too_much(self, requests: int) -> bool:
        """Whether that many requests, with the bytes that they came with, are enough."""
        if not requests:
            self._bytes = 0
        return requests > _MOST or self._bytes > _MOST_BYTES


class HeldFlow(FlowControl):
    """uvicorn's, which also can be held: nothing is read then, whoever asks for more."""

    is_held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.is_held:
            super().resume_reading()
