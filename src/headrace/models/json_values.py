"""Values as the JSON that MLflow gives them, and back.

NumPy's values and tables are lists, bytes are base64 (in lines, as MIME has it), times are ISO
8601, a missing number is null.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.data.object_bytes import is_nothing
from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_array, is_numpy_scalar, is_pydantic
from headrace.models.schema import Array, DataType, FieldType, Map, Object

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_FLOATS = (DataType.float, DataType.double)


def why_no_json(error: ValueError) -> str:
    """What is wrong with a text that `json.loads` refuses, for those who wrote it."""
    if isinstance(error, json.JSONDecodeError):
        return str(error)
    # Python has but one other reason, and tells of it how to set its limit.
    return f"a whole number in it has more than {sys.get_int_max_str_digits()} digits"


def request_of(text: bytes | str) -> Any:
    """What the JSON of a request says. Raises InvalidRequest with what is wrong with it."""
    try:
        return json.loads(text)
    except UnicodeDecodeError:
        raise InvalidRequest("The request is no UTF-8 text.") from None
    except RecursionError:
        raise InvalidRequest("The request is nested too deeply.") from None
    except ValueError as error:
        raise InvalidRequest(f"The request is no JSON: {why_no_json(error)}.") from None


def are_objects(value: Any) -> bool:
    """Whether a value of JSON is a list of objects, or an empty one."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def object_array(items: Sequence[Any]) -> NDArray[Any]:
    """An array of one axis with these objects in it, whatever they are."""
    import numpy as np

    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made


def to_json_value(value: Any) -> Any:
    """What stands for this value in JSON. Raises InvalidRequest where nothing does."""
    try:
        return _plain(value)
    except RecursionError:
        raise InvalidRequest("A value contains itself, or is nested too deeply for JSON.") from None


def to_json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON text."""
    return json.dumps(to_json_value(value), indent=indent)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if is_nothing(value):
        return None
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {_key(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_array(value):
        return _array(value)
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(bytes(value)).decode("ascii")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if is_pydantic(value):
        return _plain(value.model_dump())
    return _other(value)


def _key(name: Any) -> Any:
    return name if isinstance(name, str) else str(name)


def _array(values: Any) -> Any:
    if values.dtype.kind in "M":
        import numpy as np

        values = np.datetime_as_string(values)
    return _plain(values.tolist())


def _other(value: Any) -> Any:
    import decimal
    import uuid

    if is_numpy_scalar(value):
        if value.dtype.kind == "M":
            return str(value)
        # The item of a long double is one again.
        return float(value) if value.dtype.kind == "f" else _plain(value.item())
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise InvalidRequest(
        f"A value of class {type(value).__name__} has no form in JSON; give numbers, texts, "
        f"bytes, times, lists, dicts, arrays or tables."
    )


def frame_to_split(frame: pd.DataFrame) -> dict[str, Any]:
    """A table as `{"columns": […], "data": [[…], …]}`; columns that are only counted go unsaid."""
    names: list[Any] = list(frame.columns)
    columns = [to_json_value(frame.iloc[:, place].tolist()) for place in range(len(names))]
    data = [list(row) for row in zip(*columns, strict=True)]
    if names == [*range(len(names))]:
        return {"data": data}
    return {"columns": to_json_value(names), "data": data}


def from_json_value(value: Any, wanted: FieldType | None) -> Any:
    """A value from JSON as the type that it stands for: base64 as bytes, ISO 8601 as a time.

    What does not fit is left as it is, so that enforcing the signature can say so.
    """
    if isinstance(wanted, DataType):
        return _scalar(value, wanted)
    if isinstance(wanted, Array) and isinstance(value, list):
        return [from_json_value(item, wanted.dtype) for item in value]
    if isinstance(wanted, Map) and isinstance(value, dict):
        return {name: from_json_value(item, wanted.value_type) for name, item in value.items()}
    if isinstance(wanted, Object) and isinstance(value, dict):
        types = {item.name: item.dtype for item in wanted.properties}
        return {name: from_json_value(item, types.get(name)) for name, item in value.items()}
    return value


def _scalar(value: Any, wanted: DataType) -> Any:
    if wanted is DataType.binary and isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except ValueError:  # also for letters that are not ASCII
            return value
    if wanted is DataType.datetime and isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return value
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if wanted in _FLOATS and is_integer else value
