"""The head of an answer and the start of its body as one write.

ASGI sends them one after the other. As two writes they are two segments: each costs a system call,
and wakes a client that can do nothing with the first. More than half of what a small answer costs
its server went there.
"""

from __future__ import annotations

import asyncio


class JoinedHead:
    """The transport as one request under way sees it. Its first bytes wait for the next ones, but
    no longer than this round of the event loop: the head of a stream is not held back.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        """What waits; empty once nothing does any more."""

    def write(self, data: bytes) -> None:
        """Send `data`, after what waits."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing is sent any more."""
        return self._transport.is_closing()

    def flush(self) -> None:
        """Send what waits, unless nothing is sent any more."""
        if self._head:
            head, self._head = self._head, b""
            if not self._transport.is_closing():
                self._transport.write(head)
