"""Values of JSON as the columns of a table, exactly as enforcing the signature would make them.

Each type takes the values of certain Python classes, about which nothing is in doubt; for anything
else `NotTaken` is raised, and `models.payload` and `models.enforcement` judge it: they are the law,
and what is made here is equal to what they make (`tests/serving/worker/test_rows.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.enforce_values import enforce_value
from headrace.models.json_values import from_json_value
from headrace.models.schema import AnyType, Array, DataType, FieldType

Build = Callable[[Sequence[Any]], Any]
"""Makes the column of some values. Raises NotTaken, ValueError, TypeError, OverflowError."""

_EXACT: Final = 2**53
"""Up to here every integer is a double, so that it does not matter by which way it became one."""
_INT32: Final = 2**31
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?", re.ASCII
)
_FIRST_YEAR: Final = "1678"
_LAST_YEAR: Final = "2261"
"""The years that nanoseconds since 1970 can say as a whole, in 64 bits."""


class NotTaken(Exception):
    """Values that only the ordinary way can judge."""


def numbers(values: Any, kinds: Collection[type]) -> Any:
    """An array of doubles, in the order of memory that pandas has, of values of these classes.

    `values` may be rows of several columns.
    """
    import numpy as np

    made = np.array(values, dtype=np.float64, order="F")
    if int in kinds and bool((np.abs(made) > _EXACT).any()):
        raise NotTaken
    return made


def build_for(kind: FieldType, kinds: frozenset[type]) -> Build:
    """What makes a column of this type of values whose classes are among `kinds`."""
    if not isinstance(kind, DataType):
        return _nested(kind)
    make = _MAKERS[kind]

    def build(values: Sequence[Any]) -> Any:
        found = set(map(type, values))
        if not found <= kinds:
            raise NotTaken
        return make(values, found)

    return build


def _floats(values: Sequence[Any], found: Collection[type]) -> Any:
    import numpy as np

    with np.errstate(over="ignore"):
        return numbers(values, found).astype(np.float32)


def _longs(values: Sequence[Any], _: Collection[type]) -> Any:
    import numpy as np

    return np.array(values, dtype=np.int64)


def _integers(values: Sequence[Any], _: Collection[type]) -> Any:
    import numpy as np

    made = np.array(values, dtype=np.int64)
    if made.min() < -_INT32 or made.max() >= _INT32:
        raise NotTaken
    return made.astype(np.int32)


def _booleans(values: Sequence[Any], _: Collection[type]) -> Any:
    import numpy as np

    return np.array(values, dtype=np.bool_)


def _texts(values: Sequence[Any], _: Collection[type]) -> Any:
    import numpy as np
    import pandas as pd

    dtype = _text_type()
    made = np.array(values, dtype=object)
    return made if isinstance(dtype, np.dtype) else pd.array(made, dtype=dtype)


@cache
def _text_type() -> Any:
    """The type that pandas gives texts, which differs between its versions and settings."""
    import pandas as pd

    return pd.Series(["a"]).dtype


def _blobs(values: Sequence[Any], _: Collection[type]) -> Any:
    made = [from_json_value(value, DataType.binary) for value in values]
    if set(map(type, made)) != {bytes}:
        raise NotTaken
    return _objects(made)


def _times(values: Sequence[Any], _: Collection[type]) -> Any:
    import numpy as np

    is_exact = all(
        _TIME.fullmatch(value) and _FIRST_YEAR <= value[:4] <= _LAST_YEAR for value in values
    )
    if not is_exact:
        raise NotTaken
    return np.array(values, dtype="datetime64[ns]")


def _nested(kind: FieldType) -> Build:
    """Lists and objects, each enforced by itself."""
    taken: set[type] = {list} if isinstance(kind, Array) else {dict}
    if isinstance(kind, AnyType):
        taken = {list, dict, str}

    def build(values: Sequence[Any]) -> Any:
        if not set(map(type, values)) <= taken:
            raise NotTaken
        try:
            return _objects([enforce_value(from_json_value(v, kind), kind, "") for v in values])
        except InvalidRequest:
            raise NotTaken from None

    return build


def _objects(values: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.Series(values, dtype=object)


_MAKERS: Final[dict[DataType, Callable[[Sequence[Any], Collection[type]], Any]]] = {
    DataType.boolean: _booleans,
    DataType.integer: _integers,
    DataType.long: _longs,
    DataType.float: _floats,
    DataType.double: numbers,
    DataType.string: _texts,
    DataType.binary: _blobs,
    DataType.datetime: _times,
}
