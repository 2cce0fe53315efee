"""From columns in chunks to their profiles."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.data import profile
from headrace.data.columns import Blobs, Chunk, Column, Fixed, Kind, Lists, Objects, Records, Texts
from headrace.data.object_bytes import is_nothing
from headrace.data.profile import ColumnProfile, OtherProfile, Profile, TimeProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DISTINCT: Final = 1_000_000
"""Distinct values that are told apart; new ones after that are not counted."""

_PER_SECOND: Final = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9, "m": 1 / 60, "h": 1 / 3600}
_SCALARS: Final = (str, int, float, decimal.Decimal, fractions.Fraction, enum.Enum, uuid.UUID)


def profile_of(rows: int, columns: Sequence[Column]) -> Profile:
    """The profile of a table."""
    looked_at = columns[: profile.MAX_COLUMNS]
    made = profile.table_profile(rows, len(columns), map(profile_column, looked_at))
    if len(looked_at) < len(columns):
        made.left_out = ["columns"]
    return made


def profile_column(column: Column) -> ColumnProfile:
    """The profile of one column."""
    match column.kind:
        case Kind.NUMBER:
            return _numbers(column)
        case Kind.DURATION:
            return _durations(column)
        case Kind.BOOLEAN:
            values, missing = _present(column)
            return profile.profile_booleans(*_names(column), values, missing)
        case Kind.TIME:
            return _times(column)
        case Kind.CODE:
            return _codes(column)
        case Kind.TEXT:
            return _categories(column, _texts(column))
        case Kind.OBJECT:
            return _objects(column)
        case Kind.NESTED:
            return _counted(column, *_totals(column))


def _names(column: Column) -> tuple[str, str]:
    return profile.shown(column.name), profile.shown(column.dtype)


def _present(column: Column) -> tuple[NDArray[Any], int]:
    """The values that are there, in one array, and how many are not."""
    import numpy as np

    parts, missing = [], 0
    for chunk in column.chunks():
        assert isinstance(chunk, Fixed)
        there = chunk.values.ravel()
        if chunk.missing is not None:
            there = there[~chunk.missing.ravel()]
        missing += chunk.values.size - len(there)
        parts.append(there)
    return (np.concatenate(parts) if parts else np.empty(0)), missing


def _numbers(column: Column) -> ColumnProfile:
    values, missing = _present(column)
    if values.dtype.kind == "f" and values.dtype.itemsize != 8:
        values = values.astype("f8")
    return profile.profile_numbers(*_names(column), values, missing)


def _durations(column: Column) -> ColumnProfile:
    """In seconds; days and months, which NumPy alone has, as they are."""
    values, missing = _present(column)
    seconds = values / _PER_SECOND.get(column.unit, 1)
    return profile.profile_numbers(*_names(column), seconds, missing)


def _times(column: Column) -> ColumnProfile:
    values, missing = _present(column)
    name, dtype = _names(column)
    made = TimeProfile(name=name, dtype=dtype, count=len(values), missing=missing)
    if len(values):
        made.min, made.max = (_iso(int(tick), column) for tick in (values.min(), values.max()))
    return made


def _iso(tick: int, column: Column) -> str:
    import numpy as np

    text = str(np.array(tick, f"M8[{column.unit}]"))
    return text + "+00:00" if column.zoned else text


def _codes(column: Column) -> ColumnProfile:
    import numpy as np

    codes, missing = _present(column)
    known = codes[(codes >= 0) & (codes < len(column.categories))].astype(np.intp)
    missing += len(codes) - len(known)
    counts = np.bincount(known, minlength=len(column.categories)).tolist()
    pairs = [(c, n) for c, n in zip(column.categories, counts, strict=True) if n]
    return profile.profile_categories(*_names(column), pairs, len(known), missing)


def _texts(column: Column) -> Iterator[list[str | None]]:
    for chunk in column.chunks():
        assert isinstance(chunk, Texts)
        yield chunk.values


def _categories(column: Column, chunks: Iterable[list[Any]]) -> ColumnProfile:
    """Counts values by what they are; None is missing."""
    counts: Counter[Any] = Counter()
    rows = present = 0
    full = False
    for values in chunks:
        there = [value for value in values if value is not None]
        rows, present = rows + len(values), present + len(there)
        counts.update(filter(counts.__contains__, there) if full else there)
        full = full or len(counts) >= MAX_DISTINCT
    made = profile.profile_categories(
        *_names(column), list(counts.items()), present, rows - present
    )
    made.at_least = full
    return made


def _objects(column: Column) -> ColumnProfile:
    """Looks at the types first: what they are decides how they are counted."""
    types: set[type[Any]] = set()
    present = missing = 0
    for values in _known(column):
        there = [value for value in values if value is not None]
        types.update(map(type, there))
        present, missing = present + len(there), missing + len(values) - len(there)
    if not types:
        return _counted(column, 0, missing)
    if all(kind.__name__ in ("bool", "bool_") for kind in types):
        return _converted(column, bool)
    if all(_is_number(kind) for kind in types):
        return _converted(column, float)
    if all(issubclass(kind, dt.date) for kind in types):
        return _dates(column, present, missing)
    if all(issubclass(kind, _SCALARS) or _is_number(kind) for kind in types):
        texts = ([None if v is None else str(v) for v in values] for values in _known(column))
        return _categories(column, texts)
    return _counted(column, present, missing)


def _known(column: Column) -> Iterator[list[Any]]:
    """The values with None for every one that is missing, NaN and NaT too."""
    for chunk in column.chunks():
        assert isinstance(chunk, Objects)
        yield [None if is_nothing(value) else value for value in chunk.values]


def _is_number(kind: type[Any]) -> bool:
    import numpy as np

    numbers = (int, float, decimal.Decimal, fractions.Fraction, np.integer, np.floating)
    return issubclass(kind, numbers) and not issubclass(kind, bool)


def _converted(column: Column, kind: type[bool] | type[float]) -> ColumnProfile:
    import numpy as np

    parts, missing = [], 0
    for values in _known(column):
        there = [_float(v) if kind is float else bool(v) for v in values if v is not None]
        missing += len(values) - len(there)
        parts.append(np.array(there, dtype=kind))
    whole = np.concatenate(parts)
    if kind is bool:
        return profile.profile_booleans(*_names(column), whole, missing)
    return profile.profile_numbers(*_names(column), whole, missing)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond 1.8e308
        return float("inf") if value > 0 else float("-inf")


def _dates(column: Column, present: int, missing: int) -> ColumnProfile:
    name, dtype = _names(column)
    made = TimeProfile(name=name, dtype=dtype, count=present, missing=missing)
    there = [value for values in _known(column) for value in values if value is not None]
    try:
        made.min, made.max = min(there).isoformat(), max(there).isoformat()
    except TypeError:  # with and without a zone, or dates among times: they have no order
        return _counted(column, present, missing)
    return made


def _totals(column: Column) -> tuple[int, int]:
    rows = missing = 0
    for chunk in column.chunks():
        there, absent = _chunk_totals(chunk)
        rows, missing = rows + there, missing + absent
    return rows, missing


def _chunk_totals(chunk: Chunk) -> tuple[int, int]:
    match chunk:
        case Blobs(missing=mask) | Lists(missing=mask) | Records(missing=mask):
            absent = int(mask.sum())
            return len(mask) - absent, absent
        case Fixed(values, mask):
            absent = 0 if mask is None else int(mask.sum())
            return len(values) - absent, absent
        case Texts(values) | Objects(values):
            absent = sum(map(is_nothing, values))
            return len(values) - absent, absent


def _counted(column: Column, count: int, missing: int) -> ColumnProfile:
    name, dtype = _names(column)
    return OtherProfile(name=name, dtype=dtype, count=count, missing=missing)
