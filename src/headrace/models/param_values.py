"""Values of parameters, cast to the types that the signature gives them."""

from __future__ import annotations

import datetime as dt
import numbers
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_array, is_numpy_scalar
from headrace.models.schema_types import DataType, Object

LIST_SHAPE: Final = (-1,)


def cast_param(
    name: str, value: Any, dtype: DataType | Object, shape: tuple[int, ...] | None
) -> Any:
    """This value as the type and shape of the parameter `name`, in Python's classes.

    Integers become floats where a float is wanted, texts become times. Raises InvalidRequest,
    naming the parameter, for any other difference.
    """
    if shape is None:
        return _cast(name, value, dtype)
    items = value.tolist() if is_array(value) else value
    if not isinstance(items, list) or any(isinstance(item, list) for item in items):
        raise InvalidRequest(
            f"Parameter '{name}' must be a flat list of {dtype!r}; it is {value!r}."
        )
    return [_cast(f"{name}[{i}]", item, dtype) for i, item in enumerate(items)]


def _cast(name: str, value: Any, dtype: DataType | Object) -> Any:
    if isinstance(dtype, Object):
        from headrace.models.enforce_values import enforce_value

        enforce_value(value, dtype, name)
        return value
    if value is None:
        return None
    plain = value.item() if is_numpy_scalar(value) and dtype is not DataType.datetime else value
    cast = _CASTS[dtype](plain)
    if cast is None:
        raise InvalidRequest(
            f"Parameter '{name}' must be {dtype.name}; it is {value!r} ({type(value).__name__})."
        )
    return cast


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: Any) -> Any:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return float(value) if is_number else None


def _time(value: Any) -> Any:
    import numpy as np

    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str | np.datetime64):
        return None
    try:
        time: Any = np.datetime64(value)
    except ValueError:
        return None
    found = time.item()
    if isinstance(found, int):  # nanoseconds are more than Python's times can hold
        found = time.astype("datetime64[us]").item()
    return found if isinstance(found, dt.date) else None


_CASTS: Final[dict[DataType, Any]] = {
    DataType.boolean: lambda value: value if isinstance(value, bool) else None,
    DataType.integer: _integer,
    DataType.long: _integer,
    DataType.float: _float,
    DataType.double: _float,
    DataType.string: lambda value: value if isinstance(value, str) else None,
    DataType.datetime: _time,
}
