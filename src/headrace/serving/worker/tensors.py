"""Tensors of the Open Inference Protocol (version 2): as JSON, and as binary data behind it.

Numbers lie in binary data row by row, little-endian. A BYTES tensor has before each of its elements
its length as 32 bits. Only what is announced and there is read, so that a shape alone costs no
memory: a request holds at least as many values or bytes as its shapes say.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.json_values import object_array, to_json_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES: Final = "BYTES"
_NUMPY: Final = {
    "BOOL": "bool",
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
DATATYPES: Final = (*_NUMPY, BYTES)
DATATYPE_OF: Final = {name: datatype for datatype, name in _NUMPY.items()}
"""The datatype of each of NumPy's types; BYTES for those that are not here."""
_KINDS: Final[dict[str, frozenset[type]]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float, type(None)}),
}
"""The Python classes of values in JSON, by the letter of NumPy's kind."""
_LENGTH: Final = struct.Struct("<I")
_MOST_AXES: Final = 32
_LONGEST_AXIS: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Tensor:
    """A named array. Of BYTES it holds texts, or bytes where they came in binary data."""

    name: str
    values: NDArray[Any]
    content_type: str | None = None
    """What its BYTES stand for, as its `parameters` say: "str", "base64", "datetime", "pd" …"""


def decode_tensor(told: dict[str, Any], binary: bytes | None) -> Tensor:
    """The tensor that an entry of `inputs` describes, with its data in it or, as bytes, behind.

    Raises InvalidRequest that names the tensor.
    """
    name = told.get("name")
    if not isinstance(name, str):
        raise InvalidRequest(f"Each of the 'inputs' needs a 'name', a text; one has {name!r:.100}.")
    where = f"The input '{name[:100]}'"
    shape = _shape(told.get("shape"), where)
    datatype = told.get("datatype")
    if datatype not in DATATYPES:
        raise InvalidRequest(
            f"{where} has the datatype {datatype!r:.100}; expected one of: {', '.join(DATATYPES)}."
        )
    if (binary is None) != ("data" in told):
        there = "no 'data', and no binary data" if binary is None else "both 'data' and binary data"
        raise InvalidRequest(f"{where} has {there}; expected one of the two.")
    parameters = told.get("parameters") or {}
    kind = parameters.get("content_type") if isinstance(parameters, dict) else None
    if binary is None:
        values = _from_json(told["data"], datatype, shape, where)
    else:
        values = _from_binary(binary, datatype, shape, where)
    try:
        values = values.reshape(shape)
    except (ValueError, OverflowError):  # lengths beside a 0 are not bounded by what is there
        raise InvalidRequest(f"{where} has a shape that no array can have: {[*shape]}.") from None
    return Tensor(name, values, kind if isinstance(kind, str) else None)


def encode_tensor(
    name: str, values: NDArray[Any], *, is_binary: bool
) -> tuple[dict[str, Any], bytes]:
    """An entry of `outputs`, and the bytes behind the JSON (none unless `is_binary`)."""
    datatype = DATATYPE_OF.get(values.dtype.name, BYTES)
    head = {"name": name, "datatype": datatype, "shape": [*values.shape]}
    items = values.ravel()
    if datatype != BYTES:
        if is_binary:
            data = items.astype(items.dtype.newbyteorder("<"), copy=False).tobytes()
            return {**head, "parameters": {"binary_data_size": len(data)}}, data
        return {**head, "data": to_json_value(items)}, b""
    texts = [_element(item) for item in _objects(items)]
    if is_binary:
        raw = [text.encode() if isinstance(text, str) else text for text in texts]
        data = b"".join(part for each in raw for part in (_LENGTH.pack(len(each)), each))
        return {**head, "parameters": {"binary_data_size": len(data)}}, data
    if all(isinstance(text, str) for text in texts):
        return {**head, "data": texts}, b""
    coded = [base64.b64encode(t.encode() if isinstance(t, str) else t).decode() for t in texts]
    return {**head, "parameters": {"content_type": "base64"}, "data": coded}, b""


def _objects(items: NDArray[Any]) -> list[Any]:
    if items.dtype.kind == "M":
        import numpy as np

        return [None if item == "NaT" else item for item in np.datetime_as_string(items).tolist()]
    found: list[Any] = items.tolist()
    return found


def _element(item: Any) -> str | bytes:
    """A text or bytes as they are, nothing as no text, anything else as its JSON."""
    if isinstance(item, str | bytes):
        return item
    plain = to_json_value(item)
    return "" if plain is None else json.dumps(plain)


def _shape(shape: Any, where: str) -> tuple[int, ...]:
    is_shape = isinstance(shape, list) and len(shape) <= _MOST_AXES
    if not is_shape or not all(
        type(length) is int and 0 <= length <= _LONGEST_AXIS for length in shape
    ):
        raise InvalidRequest(
            f"{where} has the shape {shape!r:.100}; expected a list of at most {_MOST_AXES} whole "
            f"numbers from 0 to {_LONGEST_AXIS}."
        )
    return tuple(shape)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    import numpy as np

    items = _flat(data, shape, where)
    if len(items) != math.prod(shape):
        raise InvalidRequest(
            f"{where} has {len(items)} values in its 'data'; its shape {[*shape]} needs "
            f"{math.prod(shape)}."
        )
    found = set(map(type, items))
    if datatype == BYTES:
        if not found <= {str}:
            raise _unfit(where, datatype)
        return object_array(items)
    dtype = np.dtype(_NUMPY[datatype])
    if not found <= _KINDS[dtype.kind]:
        raise _unfit(where, datatype)
    try:
        with np.errstate(over="ignore"):
            return _exactly(items, dtype)
    except (OverflowError, ValueError):
        raise _unfit(where, datatype) from None


def _exactly(items: list[Any], dtype: Any) -> NDArray[Any]:
    """Numbers as this type. OverflowError where one is beyond it."""
    import numpy as np

    if dtype.kind in "iu" and items:
        limits = np.iinfo(dtype)
        if min(items) < limits.min or max(items) > limits.max:
            raise OverflowError
    return np.array(items, dtype=dtype)


def _flat(data: Any, shape: Sequence[int], where: str) -> list[Any]:
    """The values in a list of them, or in lists that are nested as the shape says."""
    if not isinstance(data, list):
        raise InvalidRequest(f"{where} needs a list as its 'data'.")
    items: list[Any] = data
    if not items or not isinstance(items[0], list):
        return items
    if len(shape) < 2 or len(items) != shape[0]:
        raise _ragged(shape, where)
    for length in shape[1:]:
        if not all(isinstance(row, list) and len(row) == length for row in items):
            raise _ragged(shape, where)
        items = [item for row in items for item in row]
    return items


def _ragged(shape: Sequence[int], where: str) -> InvalidRequest:
    return InvalidRequest(f"{where} has 'data' that is not nested as its shape {[*shape]} says.")


def _unfit(where: str, datatype: str) -> InvalidRequest:
    return InvalidRequest(f"{where} has 'data' with values that are not {datatype}.")


def _from_binary(data: bytes, datatype: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    import numpy as np

    count = math.prod(shape)
    if datatype == BYTES:
        return object_array(_elements(data, count, where))
    dtype = np.dtype(_NUMPY[datatype]).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(
            f"{where} has {len(data)} bytes of binary data; {datatype} of the shape {[*shape]} "
            f"needs {count * dtype.itemsize}."
        )
    if datatype == "BOOL" and data.strip(b"\0\1"):
        raise InvalidRequest(f"{where} has binary data that is not BOOL: expected bytes 0 and 1.")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))


def _elements(data: bytes, count: int, where: str) -> list[bytes]:
    items: list[bytes] = []
    start = 0
    while start + _LENGTH.size <= len(data) and len(items) < count:
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        if start + length > len(data):
            break
        items.append(data[start : start + length])
        start += length
    if len(items) != count or start != len(data):
        raise InvalidRequest(
            f"{where} has binary data that is not {count} elements of BYTES, each behind its "
            "length as 4 bytes, and nothing else."
        )
    return items
