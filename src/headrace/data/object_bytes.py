"""Bytes of any Python value that are the same in every process and on every platform.

Each value is written as a letter for its type, then what makes it that value, with lengths in
front of whatever varies in length: two values have the same bytes only if they are the same.
What has no such bytes (an object of a class that we do not know) is written as its class and its
`repr` without addresses; `is_told_by_repr` says for which values that holds.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import struct
import uuid
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from headrace.errors import InvalidRequest

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_NAN: Final = struct.pack("<d", math.nan)
_NOTHING: Final = frozenset({"NAType", "NaTType"})
_REPR_IS_VALUE: Final = frozenset({"pandas", "numpy", "fractions", "ipaddress", "pathlib"})


def encode_all(values: Iterable[Any]) -> bytes:
    """The bytes of each value, one behind the other. Raises InvalidRequest for a circle."""
    out: list[bytes] = []
    try:
        for value in values:
            _write(value, out)
    except RecursionError:
        raise InvalidRequest(
            "A value contains itself, or is nested too deeply to be read to its end; "
            "flatten it, or give 'digest'."
        ) from None
    return b"".join(out)


def is_nothing(value: Any) -> bool:
    """Whether this stands for a missing value: None, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in _NOTHING:
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    if isinstance(value, float):
        return math.isnan(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return bool(value != value)  # noqa: PLR0124  (NaN and NaT, of any of NumPy's types)
    return False


def is_told_by_repr(value: Any) -> bool:
    """Whether all that sets this value apart is its class and `repr`."""
    kind = type(value)
    if kind in _WRITERS or kind.__module__.partition(".")[0] in _REPR_IS_VALUE:
        return False
    return not isinstance(value, tuple(_WRITERS)) and not hasattr(value, "tobytes")


def _sized(letter: bytes, data: bytes) -> bytes:
    return letter + len(data).to_bytes(8, "little") + data


def _write(value: Any, out: list[bytes]) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        families = (known for family, known in _WRITERS.items() if isinstance(value, family))
        writer = next(families, _write_other)
    writer(value, out)


def _write_none(_: None, out: list[bytes]) -> None:
    out.append(b"N")


def _write_bool(value: bool, out: list[bytes]) -> None:
    out.append(b"?1" if value else b"?0")


def _write_int(value: int, out: list[bytes]) -> None:
    out.append(_sized(b"i", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)))


def _write_float(value: float, out: list[bytes]) -> None:
    out.append(b"f" + (_NAN if math.isnan(value) else struct.pack("<d", value)))


def _write_complex(value: complex, out: list[bytes]) -> None:
    out.append(b"c")
    _write_float(value.real, out)
    _write_float(value.imag, out)


def _write_text(value: str, out: list[bytes]) -> None:
    out.append(_sized(b"s", value.encode("utf-8", "surrogatepass")))


def _write_blob(value: Any, out: list[bytes]) -> None:
    out.append(_sized(b"b", bytes(value)))


def _write_time(value: Any, out: list[bytes]) -> None:
    """A date, a time, or both: ISO 8601, with pandas' nanoseconds and the offset if any."""
    out.append(_sized(b"t", value.isoformat().encode()))


def _write_duration(value: dt.timedelta, out: list[bytes]) -> None:
    nanoseconds = getattr(value, "nanoseconds", 0)
    parts = (value.days, value.seconds, value.microseconds, nanoseconds)
    out.append(b"d" + struct.pack("<4q", *parts))


def _write_decimal(value: decimal.Decimal, out: list[bytes]) -> None:
    out.append(_sized(b"D", str(value).encode()))


def _write_uuid(value: uuid.UUID, out: list[bytes]) -> None:
    out.append(b"U" + value.bytes)


def _write_list(value: list[Any] | tuple[Any, ...], out: list[bytes]) -> None:
    kinds = set(map(type, value))
    if kinds == {float} and not any(map(math.isnan, value)):
        packed = array("d", value)
        out.append(_sized(b"F", _little(packed)))
        return
    out.append(b"l" + len(value).to_bytes(8, "little"))
    for item in value:
        _write(item, out)


def _little(packed: array[float]) -> bytes:
    import sys

    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _write_mapping(value: Mapping[Any, Any], out: list[bytes]) -> None:
    """By key: the order in which keys were put in is no part of a dictionary's value."""
    pairs = sorted((encode_all([key]), encode_all([item])) for key, item in value.items())
    out.append(b"m" + len(pairs).to_bytes(8, "little"))
    out.extend(part for pair in pairs for part in pair)


def _write_set(value: Iterable[Any], out: list[bytes]) -> None:
    items = sorted(encode_all([item]) for item in value)
    out.append(b"S" + len(items).to_bytes(8, "little"))
    out.extend(items)


def _write_other(value: Any, out: list[bytes]) -> None:
    kind: Any = type(value)
    if kind.__name__ in _NOTHING:
        out.append(b"N")
    elif kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "tobytes"):
        _write_array(value, out)
    else:
        shown = "" if kind.__repr__ is object.__repr__ else _ADDRESS.sub("", repr(value))
        out.append(_sized(b"r", f"{kind.__module__}.{kind.__qualname__}".encode()))
        out.append(_sized(b"r", shown.encode("utf-8", "surrogatepass")))


def _write_array(value: Any, out: list[bytes]) -> None:
    """A NumPy array, or one number of its."""
    import numpy as np

    from headrace.data.plain_bytes import is_plain, plain_bytes

    values = np.asarray(value)
    shape = struct.pack(f"<{values.ndim}q", *values.shape)
    out.append(_sized(b"a", shape))
    if is_plain(values.dtype):
        out.append(_sized(b"a", values.dtype.newbyteorder("<").str.encode()))
        out.append(bytes(plain_bytes(values)))
    elif values.dtype.kind in "fc":  # long doubles: as wide as the platform has them
        _write([str(number) for number in values.ravel()], out)
    else:
        _write(values.ravel().tolist(), out)


_WRITERS: Final[dict[type[Any], Callable[[Any, list[bytes]], None]]] = {
    type(None): _write_none,
    str: _write_text,
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    complex: _write_complex,
    bytes: _write_blob,
    bytearray: _write_blob,
    memoryview: _write_blob,
    dt.datetime: _write_time,
    dt.date: _write_time,
    dt.time: _write_time,
    dt.timedelta: _write_duration,
    decimal.Decimal: _write_decimal,
    uuid.UUID: _write_uuid,
    list: _write_list,
    tuple: _write_list,
    dict: _write_mapping,
    set: _write_set,
    frozenset: _write_set,
}
