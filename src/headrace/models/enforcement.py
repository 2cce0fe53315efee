"""Data for a model, checked against its signature and cast where that is safe.

What comes out is what MLflow hands to a model: a pandas DataFrame for a signature of columns
(dictionaries, lists, arrays, scalars and polars tables become one), arrays for one of tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import (
    as_array,
    is_array,
    is_pandas_frame,
    is_pandas_series,
    is_polars_frame,
    is_polars_series,
)
from headrace.models.enforce_columns import enforce_columns, listed
from headrace.models.enforce_tensors import enforce_tensors
from headrace.models.infer_schema import plain
from headrace.models.polars_tables import pandas_library, to_pandas
from headrace.models.schema import AnyType, DataType, Schema

if TYPE_CHECKING:
    import pandas as pd

    from headrace.models.signature import ModelSignature

_log: Final = logging.getLogger("headrace")


def enforce_input(data: Any, signature: ModelSignature | None) -> Any:
    """The data as the model takes it; unchanged where no signature says how.

    Raises InvalidRequest that names the column (or the path in what is nested), what is there
    and what should be. A DataFrame that fits already is handed back as it is.
    """
    if signature is None or signature.inputs is None:
        return data
    return enforce_schema(data, signature.inputs)


def validate_schema(data: Any, expected_schema: Schema) -> None:
    """Raise InvalidRequest if the data does not fit the schema (MLflow's name)."""
    enforce_schema(data, expected_schema)


def enforce_schema(data: Any, schema: Schema) -> Any:
    """The data as the schema describes it; see `enforce_input`."""
    if allows_anything(schema):
        return data
    if is_polars_frame(data) or is_polars_series(data):
        data = to_pandas(data)
    elif is_pandas_series(data):
        data = data.to_frame()
    if schema.is_tensor_spec():
        return enforce_tensors(data, schema)
    frame = data if is_pandas_frame(data) else _by_place(_table(plain(data), schema), schema)
    return enforce_columns(frame, schema)


def _by_place(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """An array's columns have no names: where there are as many as in the schema, they get those.

    MLflow refuses such arrays, though scikit-learn and all like it take them.
    """
    import pandas as pd

    has_names = frame.columns.empty or not isinstance(frame.columns, pd.RangeIndex)
    if has_names or not schema.has_input_names():
        return frame
    names = schema.input_names()
    if len(frame.columns) != len(names):
        needed = schema.required_input_names()
        optional = f" and {len(names) - len(needed)} optional ones" * (len(needed) < len(names))
        raise InvalidRequest(
            f"The input does not fit the signature: the columns it has, {len(frame.columns)}, are "
            f"without names, and the signature names {listed(needed)}{optional}. Give a table, a "
            "dictionary, or a list of rows: [[…]] is one row."
        )
    return frame.set_axis(names, axis=1)


def allows_anything(schema: Schema) -> bool:
    """Whether the schema is one unnamed column of any type, which says nothing of the data.

    MLflow makes a table of such data, and of a table its first column; here it is left alone.
    """
    return schema.input_types() == [AnyType()] and not schema.has_input_names()


def enforce_params(
    params: Mapping[str, Any] | None, signature: ModelSignature | None
) -> dict[str, Any]:
    """The parameters that the signature names: those given, cast, and the defaults of the others.

    Others are ignored, with a warning. Raises InvalidRequest, naming the parameter, for a value
    of the wrong type.
    """
    if params is not None and not isinstance(params, Mapping):
        raise InvalidRequest(f"params must be a dict, not {type(params).__name__}.")
    given = {str(name): value for name, value in (params or {}).items()}
    schema = None if signature is None else signature.params
    known = {spec.name: spec for spec in schema} if schema is not None else {}
    if strangers := [name for name in given if name not in known]:
        _log.warning(
            "These params are ignored: %s. The model's signature names %s.",
            ", ".join(strangers),
            ", ".join(known) or "none",
        )
    return {
        name: spec.cast(given[name]) if name in given else spec.default
        for name, spec in known.items()
    }


def _table(data: Any, schema: Schema) -> pd.DataFrame:
    """What is not a table yet as one."""
    pandas = pandas_library()
    try:
        if isinstance(data, dict):
            return _table_of_dict(data, schema)
        array = as_array(data)
        if array is not None:
            return _table_of_array(array, schema)
        if isinstance(data, list):
            return _table_of_list(data, schema)
        frame: pd.DataFrame = pandas.DataFrame([data])
        return frame
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"The input does not fit the signature: its columns need a DataFrame, or what can be "
            f"made one, and {type(data).__name__} could not: {error}"
        ) from None


def _table_of_dict(data: dict[str, Any], schema: Schema) -> pd.DataFrame:
    """One row, unless a list or array stands where the schema has a scalar: then columns."""
    import pandas as pd

    kinds = schema.input_types_dict() if schema.has_input_names() else {}
    if not any(_is_column(value, kinds.get(name)) for name, value in data.items()):
        return pd.DataFrame([data])
    columns = {
        name: value.tolist() if is_array(value) and value.ndim > 1 else value
        for name, value in data.items()
    }
    return pd.DataFrame(columns)


def _is_column(value: Any, kind: Any) -> bool:
    """Whether these are the values of a column of scalars; MLflow has a list of texts as one."""
    if kind is not None and not isinstance(kind, DataType):
        return False
    if isinstance(value, list):
        return not all(isinstance(item, str) for item in value)
    return is_pandas_series(value) or (is_array(value) and value.ndim > 0)


def _table_of_array(array: Any, schema: Schema) -> pd.DataFrame:
    import pandas as pd

    names = schema.input_names()
    if schema.has_input_names() and len(names) == 1 and array.ndim == 1:
        return pd.DataFrame({names[0]: array})
    return pd.DataFrame(array if array.ndim else array.reshape(1))


def _table_of_list(data: list[Any], schema: Schema) -> pd.DataFrame:
    """Rows: dictionaries have a column for each key, unless one column is made of them."""
    import pandas as pd

    kinds = schema.input_types()
    is_one_column = not schema.has_input_names() and len(kinds) == 1
    if is_one_column and (not data or not isinstance(kinds[0], DataType)):
        return pd.DataFrame({0: pd.Series(data, dtype=object)})
    if len({len(row) if isinstance(row, list) else None for row in data}) > 1:
        raise InvalidRequest("The input does not fit the signature: its rows differ in length.")
    frame = pd.DataFrame(data)
    if schema.has_input_names() and all(isinstance(row, dict) for row in data):
        for name in frame.columns.intersection(_integers(schema)):
            if frame[name].dtype.kind == "f":
                # Integers with gaps, of which pandas made floats, which cannot hold all of them.
                frame[name] = pd.Series([row.get(name) for row in data], dtype=object)
    return frame


def _integers(schema: Schema) -> list[Any]:
    kinds = schema.input_types_dict().items()
    return [name for name, kind in kinds if kind in (DataType.integer, DataType.long)]
