"""The schema of a pandas table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.data.schema import ANY, Spec, column_spec, infer_values, scalar, table_schema

if TYPE_CHECKING:
    import pandas as pd


def pandas_schema(df: pd.DataFrame) -> dict[str, Any] | None:
    """The columns and their types; columns of objects have the type that their values share."""
    columns = []
    for place, name in enumerate(df.columns):
        series = df.iloc[:, place]
        columns.append(column_spec(name, _spec(series), required=not series.isna().any()))
    return table_schema(columns)


def _spec(series: pd.Series[Any]) -> Spec:
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, pd.StringDtype):
        return {"type": "string"}
    if isinstance(dtype, pd.CategoricalDtype):
        return infer_values(dtype.categories.tolist())
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if dtype.kind == "O":
        series = series.infer_objects()
        dtype = series.dtype
    if isinstance(dtype, pd.StringDtype):
        return {"type": "string"}
    if dtype.kind == "O":
        return infer_values(series.tolist())
    return scalar(dtype.kind, getattr(dtype, "itemsize", 9)) if dtype.kind else ANY
