"""Polars tables as pandas ones, without pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_OBJECTS: Final = ("List", "Array", "Struct", "Binary", "Object", "Decimal", "Null", "Time")


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """The same columns in pandas: numbers are not copied where they have no null.

    A null is NaN among floats and among integers (which become floats, as pandas has it), None
    among truth values, texts and what is nested, NaT among times.
    """
    import pandas as pd

    return pd.DataFrame({series.name: _column(series) for series in frame.iter_columns()})


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
    return pd.Series(series.to_numpy())
