"""The input example that a model folder holds, in MLflow's files.

`input_example.json` holds the data: a table as `{"columns", "data"}`, arrays and plain values as
they are, a sparse matrix as its parts; with parameters it is `{"inputs": …, "params": …}`.
`serving_input_example.json` is a request to a scoring server. What is where, and of which kind,
stands in the `MLmodel` as `saved_input_example_info`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import (
    as_array,
    is_array,
    is_pandas_frame,
    is_pandas_series,
    is_polars_frame,
    is_polars_series,
    is_sparse,
)
from headrace.models.infer_params import infer_params
from headrace.models.infer_schema import plain
from headrace.models.json_values import frame_to_split, to_json_text, to_json_value
from headrace.models.payload import (
    check_rows,
    decode_frame,
    decode_inputs,
    is_for_language_model,
)
from headrace.models.polars_tables import pandas_library, to_pandas
from headrace.models.schema import Schema
from headrace.models.signature import ModelSignature

_log: Final = logging.getLogger("headrace")
_MANY_ROWS: Final = 10_000
EXAMPLE_FILE: Final = "input_example.json"
SERVING_FILE: Final = "serving_input_example.json"
_SPARSE: Final = {"csc": "sparse_matrix_csc", "csr": "sparse_matrix_csr"}


class ReadsFiles(Protocol):
    """A folder whose files are read by name, as `VerifiedFolder` does."""

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        ...


def split_params(example: Any) -> tuple[Any, dict[str, Any] | None]:
    """An example's data and parameters: a pair of data and a dict is one with parameters."""
    if isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], dict):
        return example[0], example[1]
    return example, None


def check_signature(given: Any) -> None:
    """Raise InvalidRequest for what is no signature. None and False say that there is none."""
    # Known by what it has, because one that MLflow made will do.
    if given is not None and given is not False and not hasattr(given, "inputs"):
        raise InvalidRequest(
            f"'signature' is a {type(given).__name__}; expected what infer_signature(data, "
            "predictions) makes of one. To have it made, give some rows as 'input_example'."
        )


def warn_of_many_rows(example: Any) -> None:
    """Warn of an example that is likely the whole data set; it is kept all the same."""
    data, _ = split_params(example)
    is_table = is_pandas_frame(data) or is_polars_frame(data)
    if (is_table or (is_array(data) and data.ndim > 1)) and len(data) > _MANY_ROWS:
        _log.warning(
            "The input example has %d rows, and all of them are predicted for and kept with the "
            "model, which takes a while. A few are enough: data[:5].",
            len(data),
        )


def check_example(example: Any, signature: ModelSignature) -> None:
    """Raise InvalidRequest if the example does not fit the signature."""
    from headrace.models.enforcement import enforce_input, enforce_params

    data, params = split_params(example)
    try:
        enforce_input(data, signature)
        enforce_params(params, signature)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"The input example does not fit the signature that was given with it. {error} "
            f"Change one of them, or leave the signature out: it is then made from the example."
        ) from None


def save_example(example: Any, folder: Path) -> dict[str, Any]:
    """Write the two files of an example; the entry for the `MLmodel`.

    Raises InvalidRequest, before a file is written, for an example that has no form in JSON.
    """
    data, params = split_params(example)
    info, value, serving = _encode(data)
    if params is not None:
        infer_params(params)
        info["params"] = "true"
        value = {"inputs": value, "params": to_json_value(params)}
    texts = {
        EXAMPLE_FILE: to_json_text(value),
        SERVING_FILE: to_json_text(_with_params(serving, params), indent=2),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {"artifact_path": EXAMPLE_FILE, **info, "serving_input_path": SERVING_FILE}


def convert_input_example_to_serving_input(input_example: Any) -> str | None:
    """The request to a scoring server that an example makes, as JSON text (MLflow's name)."""
    if input_example is None:
        return None
    data, params = split_params(input_example)
    return to_json_text(_with_params(_encode(data)[2], params), indent=2)


def _with_params(serving: dict[str, Any], params: dict[str, Any] | None) -> dict[str, Any]:
    if params is None:
        return serving
    if is_for_language_model(serving):
        return {**serving, **params}
    return {**serving, "params": params}


def _encode(data: Any) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """What the `MLmodel` says of the data, its JSON, and the request that it makes."""
    if is_polars_frame(data) or is_polars_series(data):
        data = to_pandas(data)
    if is_pandas_series(data):
        data = data.to_frame()
    if is_pandas_frame(data):
        split = frame_to_split(data)
        orient = "split" if "columns" in split else "values"
        return {"type": "dataframe", "pandas_orient": orient}, split, {"dataframe_split": split}
    if is_sparse(data):
        parts = {name: to_json_value(getattr(data, name)) for name in ("data", "indices", "indptr")}
        dense = to_json_value(data.toarray())
        value = {**parts, "shape": list(data.shape)}
        return {"type": _SPARSE[data.format]}, value, {"inputs": dense}
    return _encode_values(plain(data) if not is_array(data) else data)


def _encode_values(data: Any) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    is_dict = isinstance(data, Mapping) and bool(data)
    arrays = [as_array(item) is not None for item in (data.values() if is_dict else [data])]
    if any(arrays) and not all(arrays):
        raise InvalidRequest(
            "The values of an input example are all arrays, or none is; these are mixed. Use "
            ".tolist() on the arrays."
        )
    if all(arrays):
        value = (
            {name: to_json_value(as_array(item)) for name, item in data.items()}
            if is_dict
            else to_json_value(as_array(data))
        )
        return {"type": "ndarray"}, value, {"inputs": value}
    value = to_json_value(data)
    is_request = isinstance(value, dict) and is_for_language_model(value)
    return {"type": "json_object"}, value, value if is_request else {"inputs": value}


def load_example(
    folder: Path | ReadsFiles, info: Mapping[str, Any], signature: ModelSignature | None = None
) -> Any:
    """The data of the example in a model folder, without its parameters.

    The signature says which types there were. Raises InvalidRequest for a file that is missing
    or is none of these.
    """
    value = _read(folder, info)
    if info.get("params"):
        value = _member(value, "inputs")
    schema = None if signature is None else signature.inputs
    kind = info.get("type")
    if kind == "dataframe":
        return _table(value, schema)
    if kind in _SPARSE.values():
        return _sparse(value, str(kind), schema)
    if kind == "ndarray":
        return decode_inputs(value, schema)
    if kind == "json_object":
        return value
    raise InvalidRequest(f"The input example is of an unknown type: {kind!r}.")


def load_example_params(
    folder: Path | ReadsFiles, info: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The parameters of the example in a model folder; None for one without."""
    if not info.get("params"):
        return None
    params = _member(_read(folder, info), "params")
    return params if isinstance(params, dict) else None


def _read(folder: Path | ReadsFiles, info: Mapping[str, Any]) -> Any:
    name = str(info.get("artifact_path", EXAMPLE_FILE))
    if isinstance(folder, Path):
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise InvalidRequest(f"The input example '{name}' lies outside the model folder.")
        if not path.is_file():
            raise InvalidRequest(f"The input example '{name}' is missing from the model folder.")
        content = path.read_bytes()
    else:
        content = folder.read(name)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The input example '{name}' is no JSON: {error}.") from None


def _member(value: Any, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise InvalidRequest(f"The input example has no '{key}'.")
    return value[key]


def _table(value: Any, schema: Schema | None) -> Any:
    pandas = pandas_library()
    rows = _member(value, "data")
    if not isinstance(rows, list):
        raise InvalidRequest("The input example makes no table: its 'data' is no list.")
    check_rows(rows, value.get("columns"), "the input example")
    try:
        frame = pandas.DataFrame(rows, columns=value.get("columns"))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The input example makes no table: {error}.") from None
    return frame if schema is None else decode_frame(frame, schema)


def _sparse(value: Any, kind: str, schema: Schema | None) -> Any:
    import numpy as np
    import scipy.sparse

    parts = [_member(value, name) for name in ("data", "indices", "indptr", "shape")]
    make = scipy.sparse.csc_matrix if kind == _SPARSE["csc"] else scipy.sparse.csr_matrix
    dtype = schema.numpy_types()[0] if schema is not None and schema.is_tensor_spec() else None
    try:
        numbers = np.array(parts[0], dtype=dtype)
        matrix = make((numbers, parts[1], parts[2]), shape=tuple(parts[3]))
        matrix.check_format(full_check=True)  # else a hostile index reads beyond the arrays
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"The input example makes no sparse matrix: {error}.") from None
    return matrix
