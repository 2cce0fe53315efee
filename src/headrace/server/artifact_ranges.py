"""The parts of HTTP that let a client fetch some bytes of a file, or none it has already.

Pure functions of headers (RFC 9110, sections 13 and 14). A request for several ranges, or one
that cannot be read, is answered with the whole file, as the standard allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import NamedTuple

from headrace.errors import UnsatisfiableRange

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)


class ByteRange(NamedTuple):
    """`length` bytes from `start` on."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range header of an answer with these bytes of `size`."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def http_date(modified: float) -> str:
    """A time in seconds since 1970 as HTTP writes it, whole seconds."""
    return formatdate(int(modified), usegmt=True)


def not_modified(headers: Mapping[str, str], etag: str, modified: float) -> bool:
    """Whether the client has these bytes already: If-None-Match, else If-Modified-Since."""
    tags = headers.get("if-none-match")
    if tags is not None:
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return "*" in known or etag in known
    since = _parsed_date(headers.get("if-modified-since"))
    return since is not None and int(modified) <= since


def wanted_range(
    headers: Mapping[str, str], size: int, etag: str, modified: float
) -> ByteRange | None:
    """The bytes that Range asks for, None for the whole file.

    A Range under an If-Range that names other bytes asks for the whole file. Raises
    UnsatisfiableRange when it begins behind the end of the file.
    """
    text = headers.get("range")
    if text is None or not _if_range_holds(headers.get("if-range"), etag, modified):
        return None
    match = _ONE_RANGE.fullmatch(text)
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        start = size - length
    else:
        start = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < start:
            return None
        length = last - start + 1
    if length <= 0:
        raise UnsatisfiableRange(
            f"Invalid value '{text}' for the header 'Range': the file has {size} bytes, "
            "none of them in this range.",
            size,
        )
    return ByteRange(start, length)


def _if_range_holds(condition: str | None, etag: str, modified: float) -> bool:
    if condition is None:
        return True
    if condition.lstrip().startswith(('"', "W/")):
        # A weak tag never equals a strong one, which is what ours are.
        return condition.strip() == etag
    return _parsed_date(condition) == int(modified)


def _parsed_date(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError):
        return None
