"""Arrays, checked against the tensors of a schema: their types, and their lengths where fixed.

An array must have the very type; lists of Python numbers, and columns of a table, are made arrays
of that type where it can hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import as_array, is_array, is_pandas_frame, is_sparse
from headrace.models.schema import Schema, TensorSpec

if TYPE_CHECKING:
    import pandas as pd


def enforce_tensors(data: Any, schema: Schema) -> Any:
    """A dictionary of arrays for named tensors, else one array (or sparse matrix).

    Raises InvalidRequest that names the tensor.
    """
    specs = [item for item in schema if isinstance(item, TensorSpec)]
    if not schema.has_input_names():
        return _one(data, specs[0])
    if not isinstance(data, Mapping) and not is_pandas_frame(data):
        if len(specs) == 1 and as_array(data) is not None:
            data = {specs[0].name: data}
        else:
            names = ", ".join(repr(spec.name) for spec in specs)
            raise InvalidRequest(
                f"The input does not fit the signature: a dict with an array for each of {names} "
                f"is needed (or a DataFrame with such columns), not {type(data).__name__}."
            )
    if missing := [spec.name for spec in specs if spec.name not in data]:
        raise InvalidRequest(
            f"The input does not fit the signature: it lacks the required "
            f"{', '.join(repr(name) for name in missing)}; it has "
            f"{', '.join(repr(name) for name in data) or 'nothing'}."
        )
    return {spec.name: _named(data, spec) for spec in specs}


def _named(data: Any, spec: TensorSpec) -> Any:
    path = f"input {spec.name!r}"
    if is_pandas_frame(data):
        return _from_column(data[spec.name], spec, path)
    return check_tensor(_to_array(data[spec.name], spec, path), spec, path)


def _one(data: Any, spec: TensorSpec) -> Any:
    path = "the input"
    if is_sparse(data):
        return check_tensor(data, spec, path)
    if not is_pandas_frame(data):
        return check_tensor(_to_array(data, spec, path), spec, path)
    if data.empty:
        raise InvalidRequest("The input does not fit the signature: the table is empty.")
    if len(data.columns) == 1:
        return _from_column(data.iloc[:, 0], spec, f"column {data.columns[0]!r}")
    values = data.to_numpy()
    if values.dtype.kind in "iufb":
        values = _cast(values, spec, path) if values.dtype != spec.type else values
    return check_tensor(values, spec, path)


def check_tensor(values: Any, spec: TensorSpec, path: str) -> Any:
    """The values, if their type and shape are those of the tensor; else InvalidRequest.

    Ragged arrays (of type object) pass where a length inside is open.
    """
    import numpy as np

    dtype = values.data.dtype if is_sparse(values) else values.dtype
    is_ragged = dtype == np.dtype("O") and len(values.shape) == 1
    if spec.shape == (-1,) and spec.type == np.dtype("O"):
        return values
    if is_ragged and -1 in spec.shape[1:]:
        return values
    pairs = zip(spec.shape, values.shape, strict=False)
    fits = all(length in (-1, found) for length, found in pairs)
    if len(spec.shape) != len(values.shape) or not fits:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} must have the shape {spec.shape} "
            f"(-1: any length), but has {values.shape}."
        )
    same_letters = dtype.kind == spec.type.kind and dtype.kind in "US"
    if dtype != spec.type and not same_letters:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} must be of type {spec.type}, but is "
            f"{dtype}. Convert it with .astype('{spec.type}') if its values allow that."
        )
    return values


def _to_array(data: Any, spec: TensorSpec, path: str) -> Any:
    """An array as it is; lists and single numbers as the tensor's type."""
    import numpy as np

    array = as_array(data)
    if array is not None:
        return array
    if not isinstance(data, list | tuple | int | float | str | bytes):
        raise InvalidRequest(
            f"The input does not fit the signature: {path} must be an array of {spec.type}, not "
            f"{type(data).__name__}."
        )
    try:
        values = np.asarray(data, dtype=spec.type if spec.type.kind == "O" else None)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"The input does not fit the signature: {path} is no array of {spec.type}: {error}."
        ) from None
    return _cast(values, spec, path)


def _cast(values: Any, spec: TensorSpec, path: str) -> Any:
    """Numbers of no type of their own as the tensor's type, if it can hold them."""
    import numpy as np

    if (
        values.dtype == spec.type
        or values.dtype.kind not in "iufb"
        or spec.type.kind not in "iufcb"
    ):
        return values
    with np.errstate(invalid="ignore", over="ignore"):
        cast = values.astype(spec.type)
    is_float = values.dtype.kind == "f" and spec.type.kind in "fc"
    if is_float or np.array_equal(cast, values):
        return cast
    raise InvalidRequest(
        f"The input does not fit the signature: {path} must be of type {spec.type}, which cannot "
        f"hold all of its numbers (they are {values.dtype})."
    )


def _from_column(series: pd.Series[Any], spec: TensorSpec, path: str) -> Any:
    """The rows of a column, each a number, or a flat list of what one row of the tensor holds."""
    import numpy as np

    if spec.shape[:1] != (-1,) or -1 in spec.shape[1:]:
        raise InvalidRequest(
            f"The input does not fit the signature: only a tensor with the shape (-1, …), the "
            f"other lengths fixed, can be a column, and {path} is {spec.shape}. Give an array."
        )
    first = series.iloc[0] if len(series) else None
    if isinstance(first, list | tuple) or is_array(first):
        try:
            rows = np.stack([np.asarray(row).reshape(-1) for row in series])
            values = rows.reshape(len(series), *spec.shape[1:])
        except ValueError as error:
            raise InvalidRequest(
                f"The input does not fit the signature: the lists in {path} do not make an array "
                f"of shape {spec.shape}: {error}."
            ) from None
        return check_tensor(values if is_array(first) else _cast(values, spec, path), spec, path)
    if spec.shape not in ((-1,), (-1, 1)):
        raise InvalidRequest(
            f"The input does not fit the signature: {path} has one value in each row, and "
            f"{spec.shape} is wanted."
        )
    values = series.to_numpy().reshape(spec.shape)
    return check_tensor(_cast(values, spec, path), spec, path)
