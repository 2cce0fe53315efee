"""A model's signature, as JSON Schema (draft 2020-12) of the requests that fit it.

What it does not know is described as anything at all, never wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headrace.serving.signature_specs import Json, specs_of

_SCALARS: Final[Mapping[str, Json]] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
}


def value_schema(spec: Json) -> Json:
    """One value of a column, a property or a param."""
    kind = spec.get("type")
    if kind == "array":
        found: Json = {"type": "array", "items": value_schema(_dict(spec.get("items")))}
    elif kind == "object":
        properties = _dict(spec.get("properties"))
        required = [name for name, each in properties.items() if _dict(each).get("required", True)]
        found = {
            "type": "object",
            "properties": {name: value_schema(_dict(each)) for name, each in properties.items()},
            **({"required": required} if required else {}),
        }
    elif kind == "map":
        found = {"type": "object", "additionalProperties": value_schema(_dict(spec.get("values")))}
    else:
        found = dict(_SCALARS.get(str(kind), {}))
    if found and spec.get("required") is False:
        return {"anyOf": [found, {"type": "null"}]}
    return found


def request_schema(description: Mapping[str, Any]) -> Json:
    """The body of a scoring request in JSON."""
    inputs, params = specs_of(description, "inputs"), specs_of(description, "params")
    with_params = {"params": _params(params)} if params else {}
    if inputs and all("name" in spec and spec.get("type") != "tensor" for spec in inputs):
        forms = _of_columns(inputs)
    else:
        forms = {"inputs": _tensors(inputs), "instances": {"type": "array"}}
    choices: list[Json] = [
        {
            "type": "object",
            "properties": {name: schema, **with_params},
            "required": [name],
            "additionalProperties": False,
        }
        for name, schema in forms.items()
    ]
    return {"oneOf": choices}


def shown_type(spec: Json) -> str:
    """A type in a few characters, for people: long, tensor float32 (-1, 784), array of string."""
    kind = spec.get("type")
    if kind == "tensor":
        tensor = _dict(spec.get("tensor-spec"))
        shape = ", ".join(str(size) for size in tensor.get("shape", ()))
        return f"tensor {tensor.get('dtype')} ({shape})"
    if kind == "array":
        return f"array of {shown_type(_dict(spec.get('items')))}"
    if kind == "map":
        return f"map of {shown_type(_dict(spec.get('values')))}"
    return str(kind)


def _of_columns(inputs: list[Json]) -> dict[str, Json]:
    schemas = {str(spec["name"]): value_schema(spec) for spec in inputs}
    required = [str(spec["name"]) for spec in inputs if spec.get("required", True)]
    row: Json = {"type": "object", "properties": schemas}
    columns: Json = {
        "type": "object",
        "properties": {name: _one_or_many(schema) for name, schema in schemas.items()},
    }
    for table in (row, columns):
        if required:
            table["required"] = required
    cells: Json = {"type": "array", "minItems": len(required), "maxItems": len(schemas)}
    names: Json = {"type": "array", "items": {"enum": list(schemas)}}
    split: Json = {
        "type": "object",
        "properties": {
            "columns": names,
            "index": {"type": "array"},
            "data": {"type": "array", "items": cells},
        },
        "required": ["columns", "data"],
        "additionalProperties": False,
    }
    rows: Json = {"type": "array", "items": row}
    inputs_form = {"anyOf": [columns, rows]} if len(schemas) > 1 else {}
    return {
        "dataframe_split": split,
        "dataframe_records": rows,
        "instances": rows,
        "inputs": inputs_form,
    }


def _one_or_many(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _tensors(inputs: list[Json]) -> Json:
    if inputs and all("name" in spec for spec in inputs):
        names = [str(spec["name"]) for spec in inputs]
        return {"type": "object", "properties": {name: {} for name in names}}
    return {}


def _params(params: list[Json]) -> Json:
    properties = {}
    for spec in params:
        schema = value_schema({**spec, "required": True})
        if spec.get("shape") is not None:
            schema = {"type": "array", "items": schema}
        properties[str(spec.get("name"))] = {**schema, "default": spec.get("default")}
    return {"type": "object", "properties": properties}


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
