"""Single values, and what is nested in them, checked against a type and cast where that is safe.

What a number in Python is wide is nobody's choice, so a Python number fits every type that can
hold its value; NumPy's numbers keep to MLflow's casts: to a wider one of the same kind, and
integers of up to 32 bits to double.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, Final

from headrace.data.object_bytes import is_nothing
from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_array, is_numpy_scalar, is_pydantic
from headrace.models.schema_types import AnyType, Array, DataType, FieldType, Map, Object

_BITS: Final = {DataType.integer: 31, DataType.long: 63}
_EXACT_INTEGERS: Final = {DataType.float: 1 << 24, DataType.double: 1 << 53}
_FLOATS: Final = (DataType.float, DataType.double)


def enforce_value(value: Any, wanted: FieldType, path: str, required: bool = True) -> Any:
    """The value, cast to `wanted`; the very same object where nothing had to be cast.

    Raises InvalidRequest that says where (`messages[0].role`), what is there, and what should be.
    """
    if isinstance(wanted, AnyType):
        return value
    if isinstance(wanted, DataType):
        return _scalar(value, wanted, path, required)
    if isinstance(wanted, Array):
        return _array(value, wanted, path, required)
    if isinstance(wanted, Map):
        return _map(value, wanted, path, required)
    return _object(value, wanted, path, required)


def mismatch(path: str, found: Any, wanted: FieldType, advice: str = "") -> InvalidRequest:
    """The error of a value that is not of the type it should be."""
    shown = repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return InvalidRequest(
        f"The input does not fit the signature: {path} must be {type_name(wanted)}, but is "
        f"{type(found).__name__} ({shown}).{advice}"
    )


def type_name(wanted: FieldType) -> str:
    """The type in words: `long`, `a list of string`, `an object`."""
    if isinstance(wanted, DataType):
        return wanted.name
    if isinstance(wanted, Array):
        return f"a list of {type_name(wanted.dtype)}"
    if isinstance(wanted, Map):
        return f"a dict of {type_name(wanted.value_type)}"
    return "an object (a dict)" if isinstance(wanted, Object) else "anything"


def _scalar(value: Any, wanted: DataType, path: str, required: bool) -> Any:
    if not required and is_nothing(value):
        return None
    cast = _CASTS[wanted](value, wanted)
    if cast is None:
        raise mismatch(path, value, wanted, _advice(value, wanted))
    return cast


def _advice(value: Any, wanted: DataType) -> str:
    if is_nothing(value):
        return " It is missing; only what the signature calls optional may be."
    if isinstance(value, float) and wanted in (DataType.integer, DataType.long):
        return " Round it, or make the signature from data that has fractions (double)."
    return ""


def _boolean(value: Any, _: DataType) -> Any:
    is_one = isinstance(value, bool) or (is_numpy_scalar(value) and value.dtype.kind == "b")
    return value if is_one else None


def _integer(value: Any, wanted: DataType) -> Any:
    if is_numpy_scalar(value):
        kind, bits = value.dtype.kind, value.dtype.itemsize * 8
        fits = (kind == "i" and bits <= _BITS[wanted] + 1) or (kind == "u" and bits < _BITS[wanted])
        return int(value) if fits else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(1 << _BITS[wanted]) <= value < 1 << _BITS[wanted] else None


def _float(value: Any, wanted: DataType) -> Any:
    if is_numpy_scalar(value):
        kind, bits = value.dtype.kind, value.dtype.itemsize * 8
        if kind == "f" and bits <= (32 if wanted is DataType.float else 64):
            return value if isinstance(value, float) else float(value)
        is_small = kind in "iu" and bits <= 32 and wanted is DataType.double
        return float(value) if is_small or (kind in "iu" and value in (0, 1)) else None
    if isinstance(value, float):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= _EXACT_INTEGERS[wanted] else None


def _text(value: Any, _: DataType) -> Any:
    return value if isinstance(value, str) else None


def _blob(value: Any, _: DataType) -> Any:
    """Bytes; a text too, for that is how bytes come in JSON, and MLflow hands it on."""
    return value if isinstance(value, bytes | bytearray | str) else None


def _time(value: Any, _: DataType) -> Any:
    if isinstance(value, dt.date) and not is_nothing(value):
        return value
    if is_numpy_scalar(value) and value.dtype.kind == "M" and not is_nothing(value):
        return value
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    return None


_CASTS: Final[dict[DataType, Callable[[Any, DataType], Any]]] = {
    DataType.boolean: _boolean,
    DataType.integer: _integer,
    DataType.long: _integer,
    DataType.float: _float,
    DataType.double: _float,
    DataType.string: _text,
    DataType.binary: _blob,
    DataType.datetime: _time,
}


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple | dict) and not value)


def _array(value: Any, wanted: Array, path: str, required: bool) -> Any:
    if _is_empty(value) and (not required or isinstance(wanted.dtype, AnyType)):
        return value
    if is_array(value):
        return _numpy_items(value, wanted, path)
    if not isinstance(value, list | tuple):
        raise mismatch(path, value, wanted)
    return _same_or(value, [_item(item, wanted, f"{path}[{i}]") for i, item in enumerate(value)])


def _item(item: Any, wanted: Array, path: str) -> Any:
    """An item of a list; scalars may be missing from it, and in a list of floats that is NaN."""
    if isinstance(wanted.dtype, DataType) and is_nothing(item):
        return math.nan if wanted.dtype in _FLOATS else item
    return enforce_value(item, wanted.dtype, path, required=item is not None)


def _numpy_items(values: Any, wanted: Array, path: str) -> Any:
    """An array, checked by its type where it has one, else item by item."""
    import numpy as np

    if values.dtype.kind == "O" or not isinstance(wanted.dtype, DataType):
        items = [_item(item, wanted, f"{path}[{i}]") for i, item in enumerate(values)]
        if all(one is other for one, other in zip(values, items, strict=True)):
            return values
        return np.array(items, dtype=object if values.dtype.kind == "O" else None)
    if values.ndim != 1:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} must be {type_name(wanted)}, but is "
            f"an array of shape {values.shape}."
        )
    return cast_array(values, wanted.dtype, path)


def cast_array(values: Any, wanted: DataType, path: str) -> Any:
    """A NumPy array as `wanted`: the same array if it is that already. Raises InvalidRequest."""
    target = wanted.to_numpy()
    if values.dtype == target or (values.dtype.kind == target.kind and target.kind in "US"):
        return values
    if values.dtype.kind == target.kind == "M" or is_safe_cast(values.dtype, target):
        return values.astype(target)
    if values.dtype.kind in "iu" and target.kind == "f" and ((values == 0) | (values == 1)).all():
        return values.astype(target)
    raise InvalidRequest(
        f"The input does not fit the signature: {path} must be {wanted.name} ({target}), but is "
        f"an array of {values.dtype}.{cast_advice(values.dtype, wanted)}"
    )


def is_safe_cast(found: Any, target: Any) -> bool:
    """Whether MLflow casts one NumPy type to the other: to a wider one, and small ints to double.

    `found` may also be one of pandas' own nullable types.
    """
    if found.kind == target.kind:
        return bool(found.itemsize <= target.itemsize)
    if found.kind == "u" and target.kind == "i":
        return bool(found.itemsize < target.itemsize)
    is_double = target.kind == "f" and target.itemsize == 8
    return found.kind in "iu" and found.itemsize <= 4 and is_double


def cast_advice(found: Any, wanted: DataType) -> str:
    """What to do about numbers of the wrong type."""
    kind = getattr(found, "kind", "")
    if kind in "iu" and wanted in _FLOATS:
        return (
            " 64-bit integers are not cast to floats, which cannot hold all of them: convert the "
            "data with .astype(float) if its numbers are small."
        )
    if kind == "f" and wanted in (DataType.integer, DataType.long):
        return (
            " Fractions would be lost: make the signature from data that has them (double), or "
            "convert the data with .astype(int)."
        )
    if kind == "f" and wanted is DataType.float:
        return " Precision would be lost: convert the data with .astype('float32')."
    if kind in "iu" and wanted in (DataType.integer, DataType.long):
        return (
            f" Its numbers may be too large: convert the data with .astype('{wanted.to_numpy()}')."
        )
    return ""


def _object(value: Any, wanted: Object, path: str, required: bool) -> Any:
    if not required and _is_empty(value):
        return value
    if is_pydantic(value):
        value = value.model_dump()
    if not isinstance(value, dict):
        raise mismatch(path, value, wanted)
    known = {item.name: item for item in wanted.properties}
    if missing := [item.name for item in wanted.properties if _lacks(value, item)]:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} lacks {_quoted(missing)}, which "
            f"the signature requires."
        )
    if strangers := [str(name) for name in value if name not in known]:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} has {_quoted(strangers)}, which the "
            f"signature does not know; it knows {_quoted(known)}."
        )
    cast = {
        name: enforce_value(item, known[name].dtype, f"{path}.{name}", known[name].required)
        for name, item in value.items()
    }
    return value if all(cast[name] is item for name, item in value.items()) else cast


def _lacks(value: dict[Any, Any], item: Any) -> bool:
    return item.required and item.name not in value


def _map(value: Any, wanted: Map, path: str, required: bool) -> Any:
    if _is_empty(value) and (not required or isinstance(wanted.value_type, AnyType)):
        return value
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise mismatch(path, value, wanted, " Its keys must be texts.")
    cast = {
        name: enforce_value(item, wanted.value_type, f"{path}.{name}", required)
        for name, item in value.items()
    }
    return value if all(cast[name] is item for name, item in value.items()) else cast


def _same_or(given: Any, cast: list[Any]) -> Any:
    is_same = all(one is other for one, other in zip(given, cast, strict=True))
    return given if is_same else cast


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
