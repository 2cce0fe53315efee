"""pandas, where it is needed, and polars' tables as its tables, without pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    import polars as pl

_OBJECTS: Final = ("List", "Array", "Struct", "Binary", "Object", "Decimal", "Null", "Time")
_INTEGERS: Final = tuple(f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64))


def pandas_library() -> ModuleType:
    """pandas. Raises InvalidRequest, which says how to install it, where it is missing."""
    from headrace.models.flavor import require

    require("pandas", "pandas", "A model whose signature names columns")
    import pandas as pd

    return pd


def to_pandas(data: Any) -> pd.DataFrame:
    """A DataFrame or Series of polars as a DataFrame of pandas.

    Numbers are not copied where they have no null. A null is NaN among floats, NA among integers
    (of pandas' nullable types), None among truth values and what is nested, NaT among times.
    """
    pandas = pandas_library()
    frame: pl.DataFrame = data.to_frame() if hasattr(data, "to_frame") else data
    columns = {series.name: _column(series) for series in frame.iter_columns()}
    found: pd.DataFrame = pandas.DataFrame(columns)
    return found


def _column(series: pl.Series) -> pd.Series[Any]:
    import pandas as pd

    base = str(series.dtype.base_type())
    if base in _OBJECTS or (base == "Boolean" and series.null_count()):
        # One by one: pandas would make a table of a list of dictionaries.
        return pd.Series(series.to_list(), dtype=object)
    if base in ("String", "Categorical", "Enum"):
        return pd.Series(series.to_list(), dtype="str")
    if base == "Datetime" and series.dtype.time_zone is not None:
        return pd.Series(series.to_list())
    if base in _INTEGERS and series.null_count():
        return pd.Series(series.to_list(), dtype=base)  # pandas' nullable types have these names
    return pd.Series(series.to_numpy())
