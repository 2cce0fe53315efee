"""The bytes of NumPy values, the same on every platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether values of this type have bytes that mean the same everywhere.

    Objects and records do not, nor long doubles, which are as wide as the platform has them.
    """
    if dtype.kind in "fc":
        return dtype.itemsize <= (8 if dtype.kind == "f" else 16)
    return dtype.kind in "biuSUmM"


def plain_bytes(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> Any:
    """The values in C order as a buffer of bytes: little-endian, one NaN, 0 where missing."""
    import numpy as np

    if missing is not None and missing.any():
        values = np.where(missing, np.zeros((), values.dtype), values)
    if values.dtype.kind in "fc":
        values = _with_one_nan(values)
    if values.dtype.kind in "mM":
        values = values.view("i8")
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8) if little.size and little.itemsize else b""


def _with_one_nan(values: NDArray[Any]) -> NDArray[Any]:
    """Every NaN with the same sign and payload: which of them a platform makes is chance."""
    import numpy as np

    unknown = np.isnan(values)
    if not unknown.any():
        return values
    if values.dtype.kind == "f":
        return np.where(unknown, np.array(np.nan, values.dtype), values)
    parts = [np.where(np.isnan(part), np.nan, part) for part in (values.real, values.imag)]
    joined = np.empty(values.shape, values.dtype)
    joined.real, joined.imag = parts
    return joined
