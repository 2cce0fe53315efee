"""A pandas table's columns in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from headrace.data.columns import Chunk, Column, Fixed, Kind, Objects, Texts, slices
from headrace.data.plain_bytes import is_plain

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {"b": Kind.BOOLEAN, "M": Kind.TIME, "m": Kind.DURATION, "c": Kind.NESTED}


def table_columns(df: pd.DataFrame) -> list[Column]:
    """The columns in their order; two of the same name are two."""
    return [column_of(name, df.iloc[:, place]) for place, name in enumerate(df.columns)]


def index_columns(df: pd.DataFrame) -> list[Column]:
    """The index, where it says something: not where it only numbers the rows.

    An index of integers without a name is what filtering, shuffling and `reset_index` leave.
    """
    import pandas as pd

    index = df.index
    if isinstance(index, pd.MultiIndex):
        levels = (index.get_level_values(i) for i in range(index.nlevels))
        return [column_of(level.name, level.to_series()) for level in levels]
    if index.name is None and index.dtype.kind in "iu":
        return []
    if not len(index) and index.name is None:
        return []
    return [column_of(index.name, index.to_series())]


def column_of(name: Any, series: pd.Series[Any]) -> Column:
    """One column."""
    import numpy as np
    import pandas as pd

    dtype: Any = series.dtype
    written = str(dtype)
    if isinstance(dtype, pd.SparseDtype):
        series = cast("Any", series).sparse.to_dense()
        dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(name, series, dtype)
    if isinstance(dtype, pd.ArrowDtype):
        from headrace.data.arrow_columns import arrow_column

        return arrow_column(name, written, pandas_arrow(series))
    if isinstance(dtype, pd.DatetimeTZDtype):
        plain = pd.Series(series.to_numpy(dtype=f"M8[{dtype.unit}]"))
        return _fixed(name, written, plain, zoned=True)
    if isinstance(dtype, pd.StringDtype):
        return Column(name, written, Kind.TEXT, _chunks(series, _texts))
    if isinstance(dtype, np.dtype):
        if is_plain(dtype) and dtype.kind in "biufcmM":
            return _fixed(name, written, series)
    elif hasattr(dtype, "numpy_dtype"):  # Int64, boolean, Float32 …: values beside a mask
        return _masked(name, written, series, dtype.numpy_dtype)
    return Column(name, written, Kind.OBJECT, _chunks(series, _objects))


def pandas_arrow(series: pd.Series[Any]) -> Any:
    """The pyarrow array that such a column lies on."""
    import pyarrow as pa

    return pa.chunked_array(series.array.__arrow_array__())


def _chunks(
    series: pd.Series[Any], read: Callable[[pd.Series[Any]], Chunk]
) -> Callable[[], Iterator[Chunk]]:
    return lambda: (read(series.iloc[rows]) for rows in slices(len(series)))


def _fixed(name: Any, written: str, series: pd.Series[Any], *, zoned: bool = False) -> Column:
    import numpy as np

    values = series.to_numpy()
    letter = values.dtype.kind
    unit = np.datetime_data(values.dtype)[0] if letter in "mM" else ""

    def read(part: Any) -> Fixed:
        if letter in "mM":
            return Fixed(part.view("i8"), np.isnat(part))
        return Fixed(part, np.isnan(part) if letter in "fc" else None)

    return Column(
        name,
        written,
        _KINDS.get(letter, Kind.NUMBER),
        lambda: (read(values[rows]) for rows in slices(len(values))),
        unit=unit,
        zoned=zoned,
    )


def _masked(name: Any, written: str, series: pd.Series[Any], plain: Any) -> Column:
    def read(part: pd.Series[Any]) -> Fixed:
        missing = part.isna().to_numpy()
        filler = False if plain.kind == "b" else 0
        return Fixed(part.to_numpy(dtype=plain, na_value=filler), missing)

    kind = Kind.BOOLEAN if plain.kind == "b" else Kind.NUMBER
    return Column(name, written, kind, _chunks(series, read))


def _categorical(name: Any, series: pd.Series[Any], dtype: pd.CategoricalDtype) -> Column:
    def read(part: pd.Series[Any]) -> Fixed:
        codes = part.cat.codes.to_numpy()
        return Fixed(codes, codes < 0)

    order = "ordered" if dtype.ordered else "category"
    written = f"{order}[{dtype.categories.dtype}]"
    categories = tuple(dtype.categories.tolist())
    return Column(name, written, Kind.CODE, _chunks(series, read), categories)


def _texts(part: pd.Series[Any]) -> Texts:
    nothing: Any = None
    return Texts(part.to_numpy(dtype=object, na_value=nothing).tolist())


def _objects(part: pd.Series[Any]) -> Objects:
    return Objects(part.tolist())
