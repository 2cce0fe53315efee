"""The data that a training call is given, as a data set that its run notes."""

from __future__ import annotations

import sys
from typing import Any, Final

MAX_BYTES: Final = 256 << 20
"""Larger data is not noted, for all of it would have to be read for its digest."""


def dataset_of(features: Any, targets: Any = None, name: str | None = None) -> Any | None:
    """A data set of a NumPy array, a pandas or Polars table, a SciPy matrix or nested lists.

    None for anything else, and for more than `MAX_BYTES`. A sparse matrix is noted only where it
    is small enough dense. No library is imported that has not been.
    """
    from headrace import data

    if _is_a(features, "pandas", "DataFrame"):
        if int(features.memory_usage().sum()) > MAX_BYTES:
            return None
        return data.from_pandas(features, name=name)
    if _is_a(features, "polars", "DataFrame"):
        if features.estimated_size() > MAX_BYTES:
            return None
        return data.from_polars(features, name=name)
    array = _array(features)
    if array is None:
        return None
    return data.from_numpy(array, targets=_array(targets), name=name)


def _array(values: Any) -> Any | None:
    """Values as a NumPy array, unless they are too large or no such thing."""
    numpy: Any = sys.modules.get("numpy")
    if values is None or numpy is None:
        return None
    if _is_sparse(values):
        rows, columns = values.shape
        return values.toarray() if rows * columns * values.dtype.itemsize <= MAX_BYTES else None
    if not isinstance(values, numpy.ndarray):
        if not isinstance(values, list | tuple) and not hasattr(values, "__array__"):
            return None
        values = numpy.asarray(values)
    return values if values.nbytes <= MAX_BYTES else None


def _is_sparse(values: Any) -> bool:
    scipy: Any = sys.modules.get("scipy.sparse")
    return scipy is not None and bool(scipy.issparse(values))


def _is_a(value: Any, module: str, name: str) -> bool:
    loaded: Any = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name, ()))
