"""What a scoring request carries, decoded with the model's signature as guide.

A request is a JSON object with one of `dataframe_split`, `dataframe_records`, `instances` and
`inputs`, and maybe `params`; an object with `messages`, `prompt` or `input` is the data itself,
the way that language models are asked. The formats are MLflow's.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.enforce_columns import check_unique
from headrace.models.json_values import are_objects, from_json_value, object_array, request_of
from headrace.models.polars_tables import pandas_library
from headrace.models.schema import ColSpec, DataType, Schema, TensorSpec

if TYPE_CHECKING:
    import pandas as pd

    from headrace.models.signature import ModelSignature

FORMATS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
LANGUAGE_MODEL_KEYS: Final = ("messages", "prompt", "input")
_MOST_COLUMNS: Final = 10_000
"""Columns that CSV may have: a comma is all that one costs its author, and reading it a lot."""
_NEEDED: Final = f"a JSON object with one of {', '.join(map(repr, FORMATS))}"


@dataclass(frozen=True)
class Payload:
    """The data and params of a request, to be enforced and predicted for.

    `is_unwrapped` says that the request was the data itself; its answer is too.
    """

    data: Any
    params: dict[str, Any] | None = None
    is_unwrapped: bool = False


def decode_payload(
    payload: bytes | str | dict[str, Any],
    signature: ModelSignature | None = None,
    *,
    from_type_hints: bool = False,
) -> Payload:
    """The data of a request in JSON, in the types that the signature names.

    `from_type_hints`: the signature came from type hints, so `inputs` is handed on as it is.
    Raises InvalidRequest that says what of the request is wrong.
    """
    request = _request(payload)
    if is_for_language_model(request):
        return _unwrapped(request, signature)
    formats = [name for name in FORMATS if name in request]
    if len(formats) != 1:
        raise InvalidRequest(
            f"The request must be {_NEEDED}; it has {_listed(request) or 'no keys'}."
        )
    (name,) = formats
    if strangers := [key for key in request if key not in (name, "params")]:
        raise InvalidRequest(
            f"The request has {_listed(strangers)} beside '{name}'; only 'params' may be there."
        )
    params = request.get("params")
    if params is not None and not isinstance(params, dict):
        raise InvalidRequest(f"'params' of the request must be an object, not {_kind(params)}.")
    if from_type_hints:
        if name != "inputs":
            raise InvalidRequest(
                f"The model's signature is from type hints, so the request needs 'inputs', not "
                f"'{name}'."
            )
        return Payload(request["inputs"], params)
    schema = None if signature is None else signature.inputs
    return Payload(_DECODERS[name](request[name], schema), params)


def decode_csv(text: str, signature: ModelSignature | None = None) -> pd.DataFrame:
    """The table in a CSV text, with a header, in the types that the signature names.

    Raises InvalidRequest for what is no such text.
    """
    pandas = pandas_library()
    _check_width(text)
    schema = None if signature is None else signature.inputs
    types = {} if schema is None or not schema.has_input_names() else schema.input_types_dict()
    texts: dict[Any, Any] = {name: "str" for name, kind in types.items() if kind is DataType.string}
    try:
        frame = pandas.read_csv(StringIO(text), dtype=texts)
    except (ValueError, pandas.errors.ParserError) as error:
        raise InvalidRequest(f"The request is no CSV table with a header: {error}") from None
    return frame if schema is None else decode_frame(frame, schema)


def _check_width(text: str) -> None:
    """Raise InvalidRequest for more columns than are read: in the header, or in the first row,
    where pandas takes what is more than in the header as an index of that many levels.
    """
    records = csv.reader(StringIO(text, newline=None))
    seen = 0
    try:
        for record in records:
            if len(record) > _MOST_COLUMNS:
                raise InvalidRequest(
                    f"The CSV table has {len(record):,} columns; at most {_MOST_COLUMNS:,} are "
                    "read."
                )
            seen += any(map(str.strip, record)) or len(record) > 1
            if seen == 2:
                return
    except csv.Error as error:
        raise InvalidRequest(f"The request is no CSV table with a header: {error}.") from None


def is_for_language_model(request: dict[str, Any]) -> bool:
    """Whether this is data in the form that language models are asked in."""
    return any(name in request for name in LANGUAGE_MODEL_KEYS)


def _request(payload: bytes | str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(payload, dict):
        return payload
    found = request_of(payload)
    if not isinstance(found, dict):
        raise InvalidRequest(f"The request must be {_NEEDED}; it is {_kind(found)}.")
    return found


def _unwrapped(request: dict[str, Any], signature: ModelSignature | None) -> Payload:
    known = {spec.name for spec in signature.params or ()} if signature is not None else set()
    data = {name: value for name, value in request.items() if name not in known}
    params = {name: value for name, value in request.items() if name in known}
    return Payload(data, params, is_unwrapped=True)


def _split(value: Any, schema: Schema | None) -> pd.DataFrame:
    pandas = pandas_library()
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise InvalidRequest(
            f"'dataframe_split' must be an object with 'data', a list of rows, and 'columns'; it "
            f"is {_kind(value)}{f' with {_listed(value)}' if isinstance(value, dict) else ''}."
        )
    if strangers := [key for key in value if key not in ("columns", "data", "index")]:
        raise InvalidRequest(
            f"'dataframe_split' has {_listed(strangers)}; 'columns', 'data' and 'index' are known."
        )
    columns, rows, index = value.get("columns"), value["data"], value.get("index")
    check_rows(rows, columns, "'dataframe_split'")
    if isinstance(index, list) and len(index) != len(rows):
        raise InvalidRequest(
            f"The 'index' of 'dataframe_split' has {len(index)} values for {len(rows)} rows."
        )
    try:
        frame = pandas.DataFrame(rows, columns=columns, index=index)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"'dataframe_split' makes no table: {error}.") from None
    return frame if schema is None else decode_frame(frame, schema)


def check_rows(rows: list[Any], columns: Any, what: str) -> None:
    """Raise InvalidRequest for a row that is not as wide as the columns, or as the first row."""
    first = next((row for row in rows if isinstance(row, list)), None)
    names = columns if isinstance(columns, list) else first
    if names is None:
        return
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else _kind(row)
            raise InvalidRequest(f"Row {place} of {what} has {found} for {len(names)} columns.")


def _records(value: Any, schema: Schema | None) -> pd.DataFrame:
    pandas = pandas_library()
    if not are_objects(value):
        raise InvalidRequest(
            f"'dataframe_records' must be a list of objects, one a row; it is {_kind(value)}."
        )
    frame = pandas.DataFrame(value)
    return frame if schema is None else decode_frame(frame, schema)


def decode_frame(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A table from JSON or CSV in the types of the schema, as far as its values are of them."""
    if schema.is_tensor_spec():
        return frame
    check_unique(frame)
    specs = [spec for spec in schema if isinstance(spec, ColSpec)]
    named = {spec.name: spec for spec in specs}
    if not schema.has_input_names():
        named = dict(zip(frame.columns, specs, strict=False))
    decoded = frame.copy(deep=False)
    for name, spec in named.items():
        if name in decoded.columns:
            series = frame[name]
            cast = _decode_column(series, spec)
            if cast is not series:
                decoded[name] = cast
    return decoded


def _decode_column(series: pd.Series[Any], spec: ColSpec) -> pd.Series[Any]:
    import pandas as pd

    kind = spec.type
    if isinstance(kind, DataType) and kind not in (DataType.binary, DataType.datetime):
        return _decode_numbers(series, kind)
    if kind is DataType.datetime:
        try:
            return pd.to_datetime(series, format="ISO8601").astype("datetime64[ns]")
        except (TypeError, ValueError, OverflowError):
            return series
    values = [from_json_value(value, kind) for value in series.tolist()]
    return pd.Series(values, index=series.index, name=series.name, dtype=object)


def _decode_numbers(series: pd.Series[Any], kind: DataType) -> pd.Series[Any]:
    """Numbers as the type wanted, if all of them are numbers and it can hold them."""
    target = kind.to_numpy()
    if series.dtype == target or target.kind not in "if" or series.dtype.kind not in "iufO":
        return series
    try:
        cast = series.astype(target)
    except (TypeError, ValueError, OverflowError):
        return series
    is_exact = target.kind == "f" or bool((cast == series).all())
    has_text = series.dtype.kind == "O" and any(isinstance(x, str | bool) for x in series)
    return cast if is_exact and not has_text else series


def decode_inputs(value: Any, schema: Schema | None) -> Any:
    """The `inputs` of a request, or arrays of an example, in the types of the schema."""
    if schema is None:
        return _without_schema(value)
    named = schema.input_dict() if schema.has_input_names() else {}
    rows = are_objects(value)
    if len(named) == 1 and isinstance(value, list) and not (rows and value):
        value = {next(iter(named)): value}
    if isinstance(value, dict) and named:
        return {name: _decode(item, named.get(name)) for name, item in value.items()}
    if rows and named:
        return [
            {name: _decode(item, named.get(name)) for name, item in row.items()} for row in value
        ]
    return _decode(value, schema.inputs[0], many=True) if not named else value


def _without_schema(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_array(item) for name, item in value.items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return value
    return _as_array(value)


def _as_array(value: Any) -> Any:
    """A list as an array, if it is one of equal rows."""
    import numpy as np

    try:
        return np.asarray(value) if isinstance(value, list) else value
    except ValueError:
        return value


def _decode(value: Any, spec: ColSpec | TensorSpec | None, many: bool = False) -> Any:
    import numpy as np

    if spec is None:
        return value
    if isinstance(spec, TensorSpec):
        return _tensor(value, spec)
    kind = spec.type
    if not isinstance(kind, DataType):
        is_list = many and isinstance(value, list)
        return (
            [from_json_value(v, kind) for v in value] if is_list else from_json_value(value, kind)
        )
    if not isinstance(value, list):
        return from_json_value(value, kind)
    items = [from_json_value(item, kind) for item in value]
    if kind in (DataType.string, DataType.binary, DataType.datetime, DataType.boolean):
        return object_array(items)
    try:
        cast = np.asarray(items, dtype=kind.to_numpy())
    except (TypeError, ValueError, OverflowError):
        return items
    is_exact = cast.dtype.kind == "f" or cast.tolist() == items
    return cast if is_exact else items


def _tensor(value: Any, spec: TensorSpec) -> Any:
    import numpy as np

    name = "the input" if spec.name is None else f"'{spec.name}'"
    try:
        return np.asarray(value, dtype=spec.type)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"The request's {name} makes no array of {spec.type}: {error}."
        ) from None


def _instances(value: Any, schema: Schema | None) -> Any:
    if not are_objects(value) or not value:
        decoded = decode_inputs(value, schema)
        _check_lengths(value)
        return decoded
    names = list({name: None for row in value for name in row})
    for place, row in enumerate(value):
        if lacking := [name for name in names if name not in row]:
            raise InvalidRequest(f"Row {place} of 'instances' lacks {_listed(lacking)}.")
    return decode_inputs({name: [row[name] for row in value] for name in names}, schema)


def _check_lengths(value: Any) -> None:
    if isinstance(value, dict):
        lengths = {name: len(item) for name, item in value.items() if isinstance(item, list)}
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"The lists in 'instances' are of different lengths: {lengths}.")


_DECODERS: Final = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": decode_inputs,
}


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "null" if value is None else names.get(type(value), "a number")
