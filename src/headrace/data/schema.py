"""Schemas in the JSON form that MLflow gives them, so that its readers understand them.

A table's is `{"mlflow_colspec": [{"type": "long", "name": "a", "required": true}, …]}`, that of
arrays `{"mlflow_tensorspec": {"features": "[…]", "targets": null}}`. A column that has none of
the types there (unsigned 64-bit, complex, mixed …) is of type `any`, where MLflow would give up
the whole schema.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.data.object_bytes import is_nothing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Spec = dict[str, Any]
ANY: Final[Spec] = {"type": "any"}


class _Mixed(Exception):
    """Values that have no type in common."""


def column_spec(name: Any, spec: Spec, *, required: bool) -> Spec:
    """One column of a table; `required` says that no value is missing."""
    return {
        **spec,
        "name": name if isinstance(name, str | int) else str(name),
        "required": required,
    }


def table_schema(columns: list[Spec]) -> dict[str, Any] | None:
    """The schema of a table; None without columns."""
    return {"mlflow_colspec": columns} if columns else None


def array_schema(
    features: Mapping[str, NDArray[Any]] | NDArray[Any],
    targets: Mapping[str, NDArray[Any]] | NDArray[Any] | None,
) -> dict[str, Any]:
    """The schema of arrays, their first dimension left open."""
    return {
        "mlflow_tensorspec": {
            "features": json.dumps(_tensors(features)),
            "targets": None if targets is None else json.dumps(_tensors(targets)),
        }
    }


def _tensors(arrays: Mapping[str, NDArray[Any]] | NDArray[Any]) -> list[Spec]:
    if isinstance(arrays, Mapping):
        return [{"name": str(name), **_tensor(values)} for name, values in arrays.items()]
    return [_tensor(arrays)]


def _tensor(values: NDArray[Any]) -> Spec:
    dtype = {"U": "str", "S": "bytes"}.get(values.dtype.kind, str(values.dtype))
    shape = [-1, *values.shape[1:]] if values.ndim else []
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


def scalar(kind: str, itemsize: int) -> Spec:
    """The type of NumPy's kind letter and width in bytes."""
    if kind in "iu":
        widest = {"i": (4, 8), "u": (2, 4)}[kind]
        return {"type": "integer"} if itemsize <= widest[0] else _long(itemsize <= widest[1])
    if kind == "f":
        return {"type": "float" if itemsize <= 4 else "double"} if itemsize <= 8 else ANY
    name = {"b": "boolean", "U": "string", "S": "binary", "M": "datetime"}.get(kind)
    return {"type": name} if name else ANY


def _long(fits: bool) -> Spec:
    return {"type": "long"} if fits else ANY


def infer_values(values: Iterable[Any]) -> Spec:
    """The type that Python values have in common; `any` if there is none."""
    found: Spec | None = None
    kinds: set[type[Any]] = set()
    try:
        for value in values:
            kind = type(value)
            if kind in kinds and kind not in (float, list, dict):
                continue
            kinds.add(kind)
            found = _joined(found, _infer(value))
    except (_Mixed, RecursionError):
        return ANY
    return found or ANY


_SCALARS: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "boolean"),
    (int, "long"),
    (float, "double"),
    (str, "string"),
    ((bytes, bytearray), "binary"),
    (dt.date, "datetime"),
)


def _infer(value: Any) -> Spec:
    if hasattr(value, "dtype") and hasattr(value, "ndim"):
        return _infer_array(value)
    if is_nothing(value) or (isinstance(value, list | tuple | dict) and not value):
        return ANY
    if isinstance(value, dict):
        types = {str(key): _infer(item) for key, item in value.items()}
        return _record({key: {**t, "required": t != ANY} for key, t in types.items()})
    if isinstance(value, list | tuple):
        items: Spec | None = None
        for item in value:
            items = _joined(items, _infer(item))
        return {"type": "array", "items": items or ANY}
    for family, name in _SCALARS:
        if isinstance(value, family):
            return {"type": name}
    raise _Mixed


def _infer_array(value: Any) -> Spec:
    """A NumPy array, or one number of its."""
    dtype: np.dtype[Any] = value.dtype
    if dtype.kind == "O":
        return infer_values([value.tolist()])
    spec = scalar(dtype.kind, dtype.itemsize)
    if spec == ANY:
        raise _Mixed
    if not value.ndim:
        return ANY if is_nothing(value) else spec
    for _ in range(value.ndim):
        spec = {"type": "array", "items": spec}
    return spec


def _record(properties: Mapping[str, Spec]) -> Spec:
    return {"type": "object", "properties": dict(sorted(properties.items()))}


def _joined(found: Spec | None, other: Spec) -> Spec:
    return other if found is None else _merge(found, other)


def _merge(one: Spec, other: Spec) -> Spec:
    if one == other:
        return one
    if ANY in (one, other):
        return _optional(other if one == ANY else one)
    if one["type"] == other["type"] == "array":
        return {"type": "array", "items": _merge(one["items"], other["items"])}
    if one["type"] == other["type"] == "object":
        return _merge_records(one["properties"], other["properties"])
    raise _Mixed


def _optional(spec: Spec) -> Spec:
    """The type of values of which some are missing: of an object, MLflow requires nothing then."""
    if spec["type"] != "object":
        return spec
    properties = spec["properties"].items()
    return _record({name: {**field, "required": False} for name, field in properties})


def _merge_records(one: Mapping[str, Spec], other: Mapping[str, Spec]) -> Spec:
    merged: dict[str, Spec] = {}
    for name in {**one, **other}:
        known = [_without_required(fields[name]) for fields in (one, other) if name in fields]
        required = all(name in fields and fields[name]["required"] for fields in (one, other))
        merged[name] = {**_merge(known[0], known[-1]), "required": required}
    return _record(merged)


def _without_required(spec: Spec) -> Spec:
    return {key: value for key, value in spec.items() if key != "required"}
