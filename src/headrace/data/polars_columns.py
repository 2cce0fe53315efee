"""A Polars table's columns in chunks, and its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headrace.data.columns import (
    Chunk,
    Column,
    Fixed,
    Kind,
    Lists,
    Objects,
    Records,
    Texts,
    slices,
)
from headrace.data.schema import ANY, Spec, column_spec, scalar, table_schema

if TYPE_CHECKING:
    import polars as pl

_NUMPY_NAMES = {"Int": "i", "UInt": "u", "Float": "f"}
_WIDE = ("Int128", "UInt128")
_TEMPORAL = {"Date": Kind.TIME, "Datetime": Kind.TIME, "Duration": Kind.DURATION}


def column_of(series: pl.Series) -> Column:
    """One column."""
    dtype = series.dtype
    base = str(dtype.base_type())
    kind = _kind(dtype, base)
    unit = getattr(dtype, "time_unit", "") or {"Date": "D", "Time": "ns"}.get(base, "")

    def read() -> Iterator[Chunk]:
        for rows in slices(len(series)):
            yield chunk_of(series.slice(rows.start, rows.stop - rows.start))

    zoned = getattr(dtype, "time_zone", None) is not None
    return Column(series.name, str(dtype), kind, read, unit=unit, zoned=zoned)


def _kind(dtype: Any, base: str) -> Kind:
    if base in _TEMPORAL:
        return _TEMPORAL[base]
    if base == "Time":
        return Kind.DURATION
    if base == "Boolean":
        return Kind.BOOLEAN
    if base in ("String", "Categorical", "Enum"):
        return Kind.TEXT
    if base in ("List", "Array", "Struct"):
        return Kind.NESTED
    if (dtype.is_integer() and base not in _WIDE) or dtype.is_float():
        return Kind.NUMBER
    return Kind.OBJECT


def chunk_of(series: pl.Series) -> Chunk:
    """The values of a column, or of a part of it."""
    import polars as pl

    base = str(series.dtype.base_type())
    kind = _kind(series.dtype, base)
    if kind is Kind.OBJECT:
        return Objects(series.to_list())
    if kind is Kind.TEXT:
        return Texts(series.cast(pl.String).to_list())
    missing = series.is_null().to_numpy()
    if base == "Struct":
        fields = {field.name: series.struct.field(field.name) for field in series.dtype.fields}
        return Records({name: chunk_of(field) for name, field in fields.items()}, missing)
    if base == "Array":
        series = series.arr.to_list()
    if kind is Kind.NESTED:
        lengths = series.list.len()
        items = series.filter(lengths.fill_null(0) > 0).explode()
        return Lists(lengths.fill_null(0).cast(pl.Int64).to_numpy(), (chunk_of(items),), missing)
    if kind in (Kind.TIME, Kind.DURATION):
        series = series.to_physical()
    filled = series.fill_null(False if kind is Kind.BOOLEAN else 0)
    return Fixed(filled.to_numpy(), missing)


def polars_schema(df: pl.DataFrame) -> dict[str, Any] | None:
    """The columns and their types; only a column without a null is required."""
    return table_schema(
        [
            column_spec(series.name, _spec(series.dtype), required=not series.null_count())
            for series in df.iter_columns()
        ]
    )


_NAMED = {
    "Binary": "binary",
    "Boolean": "boolean",
    "Categorical": "string",
    "Date": "datetime",
    "Datetime": "datetime",
    "Enum": "string",
    "String": "string",
}


def _spec(dtype: Any) -> Spec:
    base = str(dtype.base_type())
    if base in _NAMED:
        return {"type": _NAMED[base]}
    if base in ("List", "Array"):
        return {"type": "array", "items": _spec(dtype.inner)}
    if base == "Struct":
        fields = {field.name: {**_spec(field.dtype), "required": True} for field in dtype.fields}
        return {"type": "object", "properties": dict(sorted(fields.items()))}
    letters = base.rstrip("0123456789")
    if letters in _NUMPY_NAMES:
        return scalar(_NUMPY_NAMES[letters], int(base[len(letters) :]) // 8)
    return ANY
