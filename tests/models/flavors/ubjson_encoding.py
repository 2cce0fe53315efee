"""A writer of UBJSON as XGBoost writes it, for tests of the reader."""

from __future__ import annotations

import struct
from typing import Any

from headrace.models.flavors.ubjson import TypedArray


def encoded(value: Any) -> bytes:
    """A value in UBJSON: whole numbers as int64, other numbers as doubles, arrays with a count."""
    if isinstance(value, TypedArray):
        return b"[$" + value.marker.encode() + b"#" + length(len(value)) + bytes(value.data)
    if isinstance(value, dict):
        entries = (text(name) + encoded(each) for name, each in value.items())
        return b"{" + b"".join(entries) + b"}"
    if isinstance(value, list):
        return b"[#" + length(len(value)) + b"".join(map(encoded, value))
    return scalar(value)


def scalar(value: Any) -> bytes:
    """A value that holds no others."""
    if isinstance(value, str):
        return b"S" + text(value)
    if value is None:
        return b"Z"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    return b"d" + struct.pack(">f", value)


def text(value: str) -> bytes:
    """A text without its marker, as names of fields are."""
    data = value.encode("utf-8", "surrogatepass")
    return length(len(data)) + data


def length(number: int) -> bytes:
    """A length."""
    return b"L" + struct.pack(">q", number)
