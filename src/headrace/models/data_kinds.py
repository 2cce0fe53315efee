"""What kind of data somebody gave, without importing the library it would be from.

Nobody can hold a DataFrame of a library that was never imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def _is_a(value: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    kind = None if loaded is None else getattr(loaded, name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def is_pandas_frame(value: Any) -> TypeGuard[pd.DataFrame]:
    """Whether this is a pandas DataFrame."""
    return _is_a(value, "pandas", "DataFrame")


def is_pandas_series(value: Any) -> TypeGuard[pd.Series[Any]]:
    """Whether this is a pandas Series."""
    return _is_a(value, "pandas", "Series")


def is_polars_frame(value: Any) -> bool:
    """Whether this is a polars DataFrame (not a lazy one)."""
    return _is_a(value, "polars", "DataFrame")


def is_polars_series(value: Any) -> bool:
    """Whether this is a polars Series."""
    return _is_a(value, "polars", "Series")


def is_array(value: Any) -> TypeGuard[NDArray[Any]]:
    """Whether this is a NumPy array."""
    return _is_a(value, "numpy", "ndarray")


def is_numpy_scalar(value: Any) -> TypeGuard[np.generic]:
    """Whether this is one number, text or time of NumPy's."""
    return _is_a(value, "numpy", "generic")


def is_sparse(value: Any) -> bool:
    """Whether this is a sparse matrix (or array) of SciPy's with compressed rows or columns."""
    names = ("csr_matrix", "csc_matrix", "csr_array", "csc_array")
    return any(_is_a(value, "scipy.sparse", name) for name in names)


def is_pydantic(value: Any) -> bool:
    """Whether this is an object of a pydantic model (version 2)."""
    return _is_a(value, "pydantic", "BaseModel")


def is_pydantic_class(value: Any) -> bool:
    """Whether this is a pydantic model: a class."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(base, type) and isinstance(value, type) and issubclass(value, base)


def as_array(value: Any) -> NDArray[Any] | None:
    """The array that a tensor of torch, TensorFlow or JAX holds; None for anything else."""
    import numpy as np

    if is_array(value):
        return value
    if not all(hasattr(value, name) for name in ("__array__", "shape", "dtype")):
        return None
    if is_numpy_scalar(value) or is_pandas_series(value) or is_polars_series(value):
        return None
    if hasattr(value, "detach"):  # torch: off the graph, and off the accelerator
        value = value.detach().cpu()
    return np.asarray(value)
