"""A pandas table, checked against the columns of a schema and cast where that is safe.

The casts are MLflow's: object → string, binary or datetime; to a wider number of the same kind;
integers of up to 32 bits → double, 64-bit ones only where all are 0 or 1; datetimes of any
resolution → nanoseconds; decimals → double. A table that fits already is handed back as it is.
Beyond MLflow: a column of integers that the schema calls optional may have gaps, and is then of
pandas' nullable type, for NumPy has no integer that is missing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from headrace.data.object_bytes import is_nothing
from headrace.errors import InvalidRequest
from headrace.models.enforce_values import cast_advice, enforce_value, is_safe_cast
from headrace.models.schema import ColSpec, DataType, FieldType, Schema

if TYPE_CHECKING:
    import pandas as pd

_log: Final = logging.getLogger("headrace")
_FLOATS: Final = (DataType.float, DataType.double)
_NULLABLE: Final[dict[DataType, Any]] = {DataType.integer: "Int32", DataType.long: "Int64"}
_INTEGERS: Final = tuple(_NULLABLE)
_GAPS: Final = (
    " Values are missing, which makes floats of integers in pandas: infer the signature from data "
    "that has such gaps, or declare the column as double, or as optional."
)


def check_unique(frame: pd.DataFrame) -> None:
    """Raise InvalidRequest for a table that has several columns of one name."""
    if not frame.columns.is_unique:
        twice = list(frame.columns[frame.columns.duplicated()])
        raise InvalidRequest(
            f"The input names these columns twice: {twice!r:.1000}; rename one of each."
        )


def enforce_columns(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The columns that the schema names, in its order, cast; others are left out with a warning.

    Without names the first columns are meant. Raises InvalidRequest that names the column.
    """
    check_unique(frame)
    specs = _named(frame, schema) if schema.has_input_names() else _placed(frame, schema)
    found = frame if list(frame.columns) == list(specs) else frame[list(specs)]
    casts = {}
    for name, spec in specs.items():
        series = found[name]
        cast = _column(series, spec, f"column {name!r}")
        if cast is not series:
            casts[name] = cast
    if casts:
        found = found.copy(deep=False)
        for name, cast in casts.items():
            found[name] = cast
    return found


def _named(frame: pd.DataFrame, schema: Schema) -> dict[Any, ColSpec]:
    """What the schema says of each of its columns that is there."""
    known = schema.input_dict()
    if missing := [name for name in schema.required_input_names() if name not in frame.columns]:
        extra = [name for name in frame.columns if name not in known]
        found = f" Not in the signature, but there: {listed(extra)}." if extra else ""
        raise InvalidRequest(
            f"The input does not fit the signature: it lacks the required column"
            f"{'s' * (len(missing) > 1)} {listed(missing)}.{found}"
        )
    if extra := [name for name in frame.columns if name not in known]:
        _log.warning("The signature does not name these columns, so they go unused: %s", extra)
    return {
        name: spec
        for name, spec in known.items()
        if name in frame.columns and isinstance(spec, ColSpec)
    }


def _placed(frame: pd.DataFrame, schema: Schema) -> dict[Any, ColSpec]:
    """What the schema says of each of the first columns."""
    specs = [spec for spec in schema if isinstance(spec, ColSpec)]
    if len(frame.columns) < len(specs):
        raise InvalidRequest(
            f"The input does not fit the signature: {len(specs)} columns are needed, and these "
            f"{len(frame.columns)} are there: {listed(frame.columns)}."
        )
    return dict(zip(frame.columns, specs, strict=False))


def listed(names: Any) -> str:
    """Names for a message, the first twenty of them."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def _column(series: pd.Series[Any], spec: ColSpec, path: str) -> pd.Series[Any]:
    """The column as it should be; the same object where nothing had to be cast."""
    if isinstance(spec.type, DataType):
        return _scalars(series, spec.type, path, spec.required)
    return _nested(series, spec.type, path, spec.required)


def _nested(series: pd.Series[Any], wanted: FieldType, path: str, required: bool) -> pd.Series[Any]:
    import pandas as pd

    given = series.tolist()
    label = path.removeprefix("column ").strip("'")
    cast = [
        enforce_value(_or_none(value), wanted, _in_row(label, row), required)
        for row, value in enumerate(given)
    ]
    if all(one is other for one, other in zip(given, cast, strict=True)):
        return series
    return pd.Series(cast, index=series.index, name=series.name, dtype=object)


def _in_row(path: str, row: int) -> str:
    return f"row {row}: {path}" if row else path


def _or_none(value: Any) -> Any:
    """A missing list or object stands as NaN in a table."""
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124  (NaN)


def _scalars(series: pd.Series[Any], wanted: DataType, path: str, required: bool) -> pd.Series[Any]:
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        _scalars(pd.Series(dtype.categories), wanted, path, required)
        return series  # its categories are of the type, so every value is
    # Of integers with gaps pandas would make floats, which cannot hold all of them.
    has_gaps = wanted in _INTEGERS and dtype == "object" and bool(series.isna().any())
    if dtype == "object" and wanted not in (DataType.binary, DataType.string) and not has_gaps:
        inferred = series.infer_objects()
        dtype = inferred.dtype
        series = series if dtype == "object" else inferred
    if dtype == "object" or isinstance(dtype, pd.StringDtype):
        return _objects(series, wanted, path, required)
    if dtype == wanted.to_numpy() or (wanted is DataType.binary and dtype.kind == "S"):
        return series
    if wanted is DataType.datetime and dtype.kind == "M":
        return _times(series, path)
    return _numbers(series, wanted, path, required)


def _objects(series: pd.Series[Any], wanted: DataType, path: str, required: bool) -> pd.Series[Any]:
    """Texts, and what pandas has no type for."""
    if wanted in (DataType.string, DataType.binary):
        return series
    if wanted is DataType.datetime:
        return _times(series, path)
    values = series.tolist()
    if any(isinstance(value, str) for value in values):
        raise _wrong(series, wanted, path)
    if wanted is DataType.double:
        return _decimals(series, path)
    for row, value in enumerate(values):
        if not is_nothing(value):
            enforce_value(value, wanted, _in_row(path, row))
    # Truth values with gaps stay objects, as MLflow has them.
    return _with_gaps(series, wanted, path, required) if wanted in _INTEGERS else series


def _with_gaps(
    series: pd.Series[Any], wanted: DataType, path: str, required: bool
) -> pd.Series[Any]:
    """Integers of which some are missing, in pandas' nullable type."""
    if required:
        raise _wrong(series, wanted, path, _GAPS)
    return series.astype(_NULLABLE[wanted])


def _decimals(series: pd.Series[Any], path: str) -> pd.Series[Any]:
    import pandas as pd

    try:
        found: pd.Series[Any] = pd.to_numeric(series).astype("float64")
    except (TypeError, ValueError):
        raise _wrong(series, DataType.double, path) from None
    return found


def _times(series: pd.Series[Any], path: str) -> pd.Series[Any]:
    import pandas as pd

    if isinstance(series.dtype, pd.DatetimeTZDtype):
        raise _wrong(
            series,
            DataType.datetime,
            path,
            " The signature's times have no time zone: convert the column with "
            ".dt.tz_convert('UTC').dt.tz_localize(None).",
        )
    try:
        return series.astype("datetime64[ns]")
    except (TypeError, ValueError, OverflowError):
        raise _wrong(series, DataType.datetime, path) from None


def _numbers(series: pd.Series[Any], wanted: DataType, path: str, required: bool) -> pd.Series[Any]:
    dtype: Any = series.dtype
    target = wanted.to_numpy()
    if getattr(dtype, "kind", "O") not in "biuf":
        raise _wrong(series, wanted, path)
    is_nullable = not hasattr(dtype, "char")
    if is_safe_cast(dtype, target):
        if is_nullable and target.kind != "f" and bool(series.isna().any()):
            return series if target.kind == "b" else _with_gaps(series, wanted, path, required)
        return series.astype(target)
    if dtype.kind == "i" and wanted in _FLOATS and bool(series.isin((0, 1)).all()):
        return series.astype(target)
    if dtype.kind == "f" and wanted in _INTEGERS and _is_whole_with_gaps(series, wanted):
        return _with_gaps(series, wanted, path, required)
    raise _wrong(series, wanted, path)


def _is_whole_with_gaps(series: pd.Series[Any], wanted: DataType) -> bool:
    """Whether these floats are integers that only gaps have made floats of."""
    gaps = series.isna()
    values = series[~gaps]
    limit = 2**31 if wanted is DataType.integer else 2**53
    return bool(gaps.any()) and bool(((values % 1 == 0) & (values.abs() < limit)).all())


def _wrong(series: pd.Series[Any], wanted: DataType, path: str, advice: str = "") -> InvalidRequest:
    return InvalidRequest(
        f"The input does not fit the signature: {path} must be {wanted.name} "
        f"({wanted.to_pandas() if wanted is not DataType.string else 'text'}), but is "
        f"{series.dtype}.{advice or cast_advice(series.dtype, wanted)}"
    )
