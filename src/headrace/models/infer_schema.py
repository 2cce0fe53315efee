"""From data to the schema that describes it: MLflow's results, wherever it has one.

Tables give columns by their names; arrays, and dictionaries of arrays, give tensors whose first
dimension is left open; dictionaries give a column for each key, lists of dictionaries too. What
has no type in common (or none that a schema knows) is of type `any`: the column, not the schema.
"""

from __future__ import annotations

import dataclasses
import logging
import operator
from collections.abc import Mapping
from typing import Any, Final

from headrace.data.schema import array_schema, column_spec, infer_values
from headrace.errors import InvalidRequest
from headrace.models.data_kinds import (
    as_array,
    is_pandas_frame,
    is_pandas_series,
    is_polars_frame,
    is_polars_series,
    is_pydantic,
    is_pydantic_class,
    is_sparse,
)
from headrace.models.hint_types import field_columns
from headrace.models.schema import AnyType, ColSpec, Json, Schema

_log: Final = logging.getLogger("headrace")


def infer_schema(data: Any) -> Schema:
    """The schema of this data.

    Data that no schema can describe gets a schema that allows anything, and a warning; a table
    that names a column twice raises InvalidRequest.
    """
    specs = _specs(data)
    if specs is None:
        _log.warning(
            "No schema describes data of class %s, so the signature allows anything there. Give "
            "a DataFrame, an array, a dict, a list or a scalar.",
            type(data).__name__,
        )
        return Schema([ColSpec(AnyType())])
    return Schema.from_dict(specs)


def _specs(data: Any) -> list[Json] | None:
    if is_pandas_frame(data) or is_pandas_series(data):
        return _pandas(data)
    if is_polars_frame(data) or is_polars_series(data):
        return _polars(data)
    if is_sparse(data):
        return _tensors(data)
    if is_pydantic(data) or is_pydantic_class(data) or dataclasses.is_dataclass(data):
        return field_columns(data if isinstance(data, type) else type(data))
    if isinstance(data, Mapping):
        return _dictionary(data)
    if isinstance(data, list | tuple):
        return _list(list(data))
    array = as_array(data)
    return _scalar(data) if array is None else _tensors(array)


def _pandas(data: Any) -> list[Json] | None:
    from headrace.data.pandas_schema import pandas_schema

    is_table = is_pandas_frame(data)
    frame = data if is_table else data.to_frame()
    if twice := list(frame.columns[frame.columns.duplicated()]):
        raise InvalidRequest(f"The table names these columns twice: {twice}; rename one of each.")
    schema = pandas_schema(frame)
    if schema is None:
        return None
    columns: list[Json] = schema["mlflow_colspec"]
    if not is_table and data.name is None:
        return [_unnamed(columns[0])]
    return columns


def _polars(data: Any) -> list[Json] | None:
    from headrace.data.polars_columns import polars_schema

    is_table = is_polars_frame(data)
    schema = polars_schema(data if is_table else data.to_frame())
    if schema is None:
        return None
    columns: list[Json] = schema["mlflow_colspec"]
    return columns if is_table or data.name else [_unnamed(columns[0])]


def _unnamed(column: Json) -> Json:
    """The only column: it has no name, and so it cannot be optional."""
    return {**{key: value for key, value in column.items() if key != "name"}, "required": True}


def _tensors(arrays: Any) -> list[Json]:
    import json

    found: list[Json] = json.loads(array_schema(arrays, None)["mlflow_tensorspec"]["features"])
    return found


def _dictionary(data: Mapping[Any, Any]) -> list[Json] | None:
    arrays = {name: as_array(value) for name, value in data.items()}
    if data and all(array is not None for array in arrays.values()):
        return _tensors(arrays)
    if not data or not all(isinstance(name, str) for name in data):
        return None
    return [
        column_spec(name, infer_values([plain(value)]), required=_is_whole(value))
        for name, value in data.items()
    ]


def _is_whole(value: Any) -> bool:
    """Whether this is there, and, for a list, all of its items are."""
    from headrace.data.object_bytes import is_nothing

    items = value if isinstance(value, list) else [value]
    return not any(is_nothing(item) for item in items)


def _list(data: list[Any]) -> list[Json] | None:
    if not data:
        return [{"type": "string", "required": True}]  # as MLflow has it, from its first days
    if all(is_pydantic(item) for item in data) and len({type(item) for item in data}) == 1:
        return field_columns(type(data[0]))
    rows = [plain(item) for item in data]
    if not all(isinstance(row, dict) for row in rows):
        return [{**infer_values(rows), "required": True}]
    names = {name: None for row in rows for name in row}
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return [
        column_spec(
            name,
            infer_values([row[name] for row in rows if name in row]),
            required=all(row.get(name) is not None for row in rows),
        )
        for name in names
    ]


def _scalar(data: Any) -> list[Json] | None:
    spec = infer_values([data])
    return None if spec["type"] == "any" else [{**spec, "required": True}]


def plain(value: Any) -> Any:
    """The value with dictionaries in place of pydantic's objects, at any depth.

    Tuples become lists; what holds neither is the very same object. Raises InvalidRequest for
    what contains itself.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise InvalidRequest("The data contains itself, or is nested too deeply.") from None


def _plain(value: Any) -> Any:
    if is_pydantic(value):
        return value.model_dump()
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        is_same = isinstance(value, list) and all(map(operator.is_, items, value))
        return value if is_same else items
    if isinstance(value, dict):
        made = {key: _plain(item) for key, item in value.items()}
        return value if all(made[key] is item for key, item in value.items()) else made
    return value
