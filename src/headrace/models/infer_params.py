"""From values of parameters to the schema that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.data.schema import infer_values, scalar
from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_array
from headrace.models.param_values import LIST_SHAPE
from headrace.models.schema import (
    DataType,
    Json,
    Object,
    ParamSchema,
    ParamSpec,
    type_from_json,
)


def infer_params(params: Mapping[str, Any]) -> ParamSchema:
    """The types of these values, which become the defaults.

    A value is a scalar, a flat list (or array) of scalars of one type, or a dictionary. Raises
    InvalidRequest, naming the parameter, for anything else.
    """
    if not isinstance(params, Mapping):
        raise InvalidRequest(f"params must be a dict, not {type(params).__name__}.")
    specs = []
    for name, value in params.items():
        dtype, shape = _infer(str(name), value)
        specs.append(ParamSpec(str(name), dtype, value, shape))
    return ParamSchema(specs)


def _infer(name: str, value: Any) -> tuple[DataType | Object, tuple[int, ...] | None]:
    if is_array(value) and value.ndim == 1 and value.dtype.kind != "O":
        spec = scalar(value.dtype.kind, value.dtype.itemsize)
        return _param_type(name, value, spec), LIST_SHAPE
    if isinstance(value, list):
        # An empty list has no type to tell; MLflow calls it one of times.
        spec = infer_values(value) if value else {"type": "datetime"}
        if {type(item) for item in value} == {int, float}:
            spec = {"type": "double"}
        return _param_type(name, value, spec), LIST_SHAPE
    return _param_type(name, value, infer_values([value])), None


def _param_type(name: str, value: Any, spec: Json) -> DataType | Object:
    if spec["type"] in ("any", "array", "map"):
        raise InvalidRequest(
            f"Parameter '{name}' is {value!r}: a scalar, a flat list of scalars of one type, or a "
            f"dict is needed, so that its type can be told."
        )
    kind = type_from_json(spec, name)
    assert isinstance(kind, DataType | Object)
    return kind
