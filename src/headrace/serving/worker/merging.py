"""The inputs of several calls as one, and the model's predictions for it as theirs.

What is alike is put together along its first axis: tables of equal columns and types, arrays of
equal types and of equal shapes but for their lengths, lists. Predictions are taken apart if there
is one entry for each row that went in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.models.data_kinds import is_array, is_pandas_frame, is_pandas_series
from headrace.models.schema import Schema, TensorSpec
from headrace.serving.worker.rows import Layout, Rows


class NotDivisible(Exception):
    """Predictions that are not one entry for each row; the text says what they are."""


@dataclass(frozen=True, slots=True)
class Input:
    """What one call asks the model to predict for: rows, or data that was enforced."""

    data: Any
    count: int
    """Its rows; 0 for data that has none to count."""
    likeness: Hashable
    """Equal for inputs that can be put together; None where that is not possible."""
    family: Hashable = None
    """What the model can be expected to treat alike: as `likeness`, but for lengths and types."""


def of_rows(rows: Rows) -> Input:
    """Rows that become a table with those of others."""
    return Input(rows, len(rows.rows), rows.layout.key, rows.layout.key)


def of_data(data: Any, *, may_grow: bool) -> Input:
    """Data that is as the model takes it; `may_grow` says that the model takes more rows of it."""
    likeness = _likeness(data) if may_grow else None
    if likeness is None:
        return Input(data, 0, None)
    return Input(data, _length(data), likeness, type(data).__name__)


def may_grow(schema: Schema | None) -> bool:
    """Whether data for this schema can have any number of rows."""
    if schema is None:
        return True
    tensors = [spec for spec in schema if isinstance(spec, TensorSpec)]
    return all(spec.shape[:1] == (-1,) for spec in tensors)


def joined(inputs: Sequence[Input]) -> Any:
    """The data of inputs that are alike, as one. Raises NotTaken for rows of odd values."""
    first = inputs[0].data
    if isinstance(first, Rows):
        layout: Layout = first.layout
        if len(inputs) == 1:
            return layout.table(first.rows)
        return layout.table([row for each in inputs for row in each.data.rows])
    if len(inputs) == 1:
        return first
    return _concatenated([each.data for each in inputs])


def divided(predictions: Any, counts: Sequence[int]) -> list[Any]:
    """The predictions of each of the inputs that had so many rows. Raises NotDivisible."""
    total = sum(counts)
    parts = predictions.values() if isinstance(predictions, dict) else [predictions]
    if not parts or not all(_is_long(part, total) for part in parts):
        raise NotDivisible(f"{_shown(predictions)} for {total} rows")
    shares, start = [], 0
    for count in counts:
        shares.append(_slice(predictions, start, start + count))
        start += count
    return shares


def _likeness(data: Any) -> Hashable:
    if is_pandas_frame(data):
        import pandas as pd

        index = data.index
        is_counted = isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1)
        if not len(data) or not is_counted or not data.columns.is_unique:
            return None
        return ("frame", tuple(data.columns), tuple(data.dtypes))
    if is_array(data):
        return ("array", data.dtype.str, data.shape[1:]) if data.ndim and len(data) else None
    if isinstance(data, dict):
        if not data or not all(is_array(each) and each.ndim for each in data.values()):
            return None
        lengths = {len(each) for each in data.values()}
        if len(lengths) != 1 or 0 in lengths:
            return None
        return ("arrays", *((name, _likeness(each)) for name, each in data.items()))
    return "list" if isinstance(data, list) and data else None


def _length(data: Any) -> int:
    return len(next(iter(data.values()))) if isinstance(data, dict) else len(data)


def _concatenated(given: Sequence[Any]) -> Any:
    first = given[0]
    if is_pandas_frame(first):
        import pandas as pd

        return pd.concat(given, ignore_index=True)
    if isinstance(first, list):
        return [item for each in given for item in each]
    if isinstance(first, dict):
        return {name: _concatenated([each[name] for each in given]) for name in first}
    import numpy as np

    return np.concatenate(given)


def _is_long(part: Any, total: int) -> bool:
    if is_array(part):
        return part.shape[:1] == (total,)
    is_table = is_pandas_frame(part) or is_pandas_series(part)
    return (is_table or isinstance(part, list)) and len(part) == total


def _slice(part: Any, start: int, end: int) -> Any:
    if isinstance(part, Mapping):
        return {name: _slice(each, start, end) for name, each in part.items()}
    return part.iloc[start:end] if hasattr(part, "iloc") else part[start:end]


def _shown(predictions: Any) -> str:
    shape = getattr(predictions, "shape", None)
    size = f" of shape {shape}" if shape is not None else ""
    if not size and hasattr(predictions, "__len__"):
        size = f" of length {len(predictions)}"
    return f"{type(predictions).__name__}{size}"
