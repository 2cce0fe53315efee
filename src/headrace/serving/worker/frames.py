"""What the server and a worker say to each other: a head in JSON, and bytes.

A frame is the lengths of both as two big-endian 32-bit numbers, the head, the body. JSON and no
pickle: what a model's code could write into its end of the socket must not run in the server, and
the two ends may have different Pythons.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

_LENGTHS: Final = struct.Struct("!II")
MAX_HEAD: Final = 64 << 20
MAX_TOLD: Final = 8 << 20
"""Bytes of a head that a worker sends: what it holds in Python takes many times as much memory."""
MAX_BODY: Final = (1 << 32) - 1
_JOINED: Final = 1 << 16
"""Bytes up to which copying into one piece costs less than sending many."""

Frame = tuple[dict[str, Any], bytes | bytearray]

_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class FrameError(ValueError):
    """The other end does not speak this language."""


def pack(head: dict[str, Any], bodies: Sequence[bytes | bytearray] = ()) -> list[bytes | bytearray]:
    """A frame whose body is `bodies` together, as pieces to be sent one after the other.

    Raises FrameError for one that is too large.
    """
    text = _encode(head).encode()
    length = sum(map(len, bodies))
    if len(text) > MAX_HEAD or length > MAX_BODY:
        raise FrameError(f"A frame of {len(text)} and {length} bytes is too large.")
    start = _LENGTHS.pack(len(text), length)
    if length <= _JOINED:
        return [b"".join((start, text, *bodies))]
    return [start + text, *bodies]


class Unpacker:
    """Frames out of bytes that come in any pieces."""

    def __init__(self, max_body: int = MAX_BODY, max_head: int = MAX_HEAD) -> None:
        self._rest = bytearray()
        self._needed = _LENGTHS.size
        self._max_body = max_body
        self._max_head = max_head

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; a large body is the very bytearray that it was put
        together in. Raises FrameError for what is none.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            whole, self._rest = self._rest, bytearray()
            return self._frames(whole if len(whole) > _JOINED else bytes(whole))
        return self._frames(data)

    def _frames(self, data: bytes | bytearray) -> list[Frame]:
        frames: list[Frame] = []
        at = 0
        while True:
            start = at + _LENGTHS.size
            if len(data) < start:
                self._needed = _LENGTHS.size
                break
            head_length, body_length = _LENGTHS.unpack_from(data, at)
            if head_length > self._max_head or body_length > self._max_body:
                raise FrameError(f"A frame announces {head_length} and {body_length} bytes.")
            middle = start + head_length
            end = middle + body_length
            if len(data) < end:
                self._needed = end - at
                break
            head = _head(data[start:middle])
            if body_length > _JOINED and isinstance(data, bytearray):
                # Copying hundreds of megabytes would stop all else meanwhile; this moves nothing.
                rest = bytes(memoryview(data)[end:])
                del data[end:], data[:middle]
                frames.append((head, data))
                data, at = rest, 0
            else:
                frames.append((head, data[middle:end]))
                at = end
        if at < len(data):
            self._rest += memoryview(data)[at:]
        return frames


def text_in(told: Any) -> str:
    """What a head has where text is expected. Raises TypeError for anything else."""
    if not isinstance(told, str):
        raise TypeError(f"no text: {told!r:.100}")
    return told


def _head(text: bytes | bytearray) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"The head of a frame is no JSON: {error}") from None
    if not isinstance(head, dict):
        raise FrameError("The head of a frame is no object.")
    return head
