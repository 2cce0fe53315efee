"""Columns of whatever library as plain NumPy arrays, checked."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def array_of(values: Any, role: str) -> Array:
    """`values` as an array: of a pandas or Polars column, a tensor, a list, an array.

    InvalidRequest when it is none of these.
    """
    import numpy as np

    if hasattr(values, "detach"):  # a tensor of PyTorch, perhaps with a gradient or on a device
        values = values.detach().cpu()
    if isinstance(values, str | bytes | dict):
        raise InvalidRequest(f"'{role}' is of type {type(values).__name__}: expected an array.")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"'{role}' cannot be read as an array: {error}.") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 0:
        raise InvalidRequest(f"'{role}' is of type {type(values).__name__}: expected an array.")
    return array


def missing_in(array: Array) -> Array:
    """Where values are missing: None, NaN, NaT and pandas' NA."""
    import numpy as np

    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind in "mM":
        return np.isnat(array)
    if array.dtype.kind != "O":
        return np.zeros(len(array), dtype=bool)
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None:
        return np.asarray(pandas.isna(array), dtype=bool)
    return np.fromiter(map(_is_missing, array), bool, len(array))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def column(values: Any, role: str, rows: int | None = None) -> Array:
    """A column without missing values, with as many rows as there should be. InvalidRequest."""
    import numpy as np

    array = array_of(values, role)
    if array.ndim != 1:
        raise InvalidRequest(
            f"'{role}' has the shape {array.shape}: expected one value for each row."
        )
    if rows is not None and len(array) != rows:
        raise InvalidRequest(
            f"'{role}' has {len(array):,} values, the data {rows:,} rows: expected one value for "
            "each row."
        )
    missing = missing_in(array)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise InvalidRequest(
            f"'{role}' has no value in {int(missing.sum()):,} of {len(array):,} rows, the first "
            f"of them row {first} (counted from 0): fill them in, or leave those rows out."
        )
    return array


def numbers(array: Array, role: str) -> Array:
    """A column as float64. InvalidRequest for texts, and for infinity."""
    import numpy as np

    try:
        if array.dtype.kind in "USmM":
            raise TypeError(f"they are of type {array.dtype}")
        plain = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"'{role}' are no numbers: {error}.") from None
    if not np.isfinite(plain).all():
        first = int(np.flatnonzero(~np.isfinite(plain))[0])
        raise InvalidRequest(
            f"'{role}' holds {plain[first]} in row {first} (counted from 0): expected finite "
            "numbers."
        )
    return plain
