"""What the server and a worker say to each other: a head in JSON, and bytes.

A frame is the lengths of both as two big-endian 32-bit numbers, the head, the body. JSON and no
pickle: what a model's code could write into its end of the socket must not run in the server, and
the two ends may have different Pythons.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, Final

_LENGTHS: Final = struct.Struct("!II")
MAX_HEAD: Final = 64 << 20
MAX_BODY: Final = (1 << 32) - 1

Frame = tuple[dict[str, Any], bytes]


class FrameError(ValueError):
    """The other end does not speak this language."""


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """A frame as bytes. Raises FrameError for one that is too large."""
    text = json.dumps(head, separators=(",", ":")).encode()
    if len(text) > MAX_HEAD or len(body) > MAX_BODY:
        raise FrameError(f"A frame of {len(text)} and {len(body)} bytes is too large.")
    return b"".join((_LENGTHS.pack(len(text), len(body)), text, body))


class Unpacker:
    """Frames out of bytes that come in any pieces."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises FrameError for what is none."""
        self._bytes += data
        while len(self._bytes) >= _LENGTHS.size:
            head_length, body_length = _LENGTHS.unpack_from(self._bytes)
            if head_length > MAX_HEAD:
                raise FrameError(f"A frame announces a head of {head_length} bytes.")
            start = _LENGTHS.size + head_length
            end = start + body_length
            if len(self._bytes) < end:
                return
            text, body = bytes(self._bytes[_LENGTHS.size : start]), bytes(self._bytes[start:end])
            del self._bytes[:end]
            yield _head(text), body


def _head(text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"The head of a frame is no JSON: {error}") from None
    if not isinstance(head, dict):
        raise FrameError("The head of a frame is no object.")
    return head
