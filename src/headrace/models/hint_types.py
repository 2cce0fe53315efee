"""Types, columns and schemas that type hints stand for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
from collections.abc import Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_pydantic_class
from headrace.models.schema import Json, Schema

SCALAR_HINTS: Final[dict[Any, str]] = {
    int: "long",
    str: "string",
    bool: "boolean",
    float: "double",
    bytes: "binary",
    dt.datetime: "datetime",
}
_SCALAR_FIELDS: Final[dict[Any, str]] = {**SCALAR_HINTS, dt.date: "datetime"}
ROWS: Final = (
    "list[…] of str, int, float, bool, bytes, datetime, dict[str, …], a pydantic model, or Any"
)


def schema_of_hint(hint: Any) -> Schema:
    """The schema of rows with this hint; `list[…]` around it or not. Raises InvalidRequest."""
    row = _only_argument(hint) if get_origin(hint) is list else hint
    spec, required = _spec(row)
    if not required:
        raise InvalidRequest(
            f"The type hint {show_hint(hint)} lets a whole row be missing. Take Optional away, "
            f"or put it on the fields of a pydantic model."
        )
    return Schema.from_dict([{**spec, "required": True}])


def object_spec(kind: type[Any]) -> Json:
    """The JSON of the object that a pydantic model or a dataclass is."""
    properties: Json = {}
    for name, hint in field_hints(kind).items():
        try:
            spec, required = _spec(hint, _SCALAR_FIELDS)
        except InvalidRequest as error:
            raise InvalidRequest(f"Field '{name}' of {kind.__name__}: {error}") from None
        if not required and is_pydantic_class(kind) and kind.model_fields[name].is_required():
            raise InvalidRequest(
                f"Field '{name}' of {kind.__name__} may be None but has no default; "
                f"give it one: `{name}: … = None`."
            )
        properties[name] = {**spec, "required": required}
    return {"type": "object", "properties": dict(sorted(properties.items()))}


def show_hint(hint: Any) -> str:
    """A type hint as one writes it."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def is_union(hint: Any) -> bool:
    """Whether a hint is `Union[…]` or `… | …`."""
    return get_origin(hint) in (Union, types.UnionType)


def _spec(hint: Any, scalars: Mapping[Any, str] = SCALAR_HINTS) -> tuple[Json, bool]:
    """The JSON of a hint's type, and whether a value is required."""
    if hint is Any:
        return {"type": "any"}, True
    if isinstance(hint, type) and hint in scalars:
        return {"type": scalars[hint]}, True
    if is_pydantic_class(hint) or dataclasses.is_dataclass(hint):
        return object_spec(hint), True
    if get_origin(hint) is list:
        return {"type": "array", "items": _spec(_only_argument(hint), scalars)[0]}, True
    if get_origin(hint) is dict:
        return {"type": "map", "values": _spec(_value_hint(hint), scalars)[0]}, True
    if is_union(hint):
        return _union(hint, scalars)
    raise InvalidRequest(f"The type hint {show_hint(hint)} says no schema: give {ROWS}.")


def _union(hint: Any, scalars: Mapping[Any, str]) -> tuple[Json, bool]:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    required = len(kinds) == len(get_args(hint))
    if len(kinds) > 1:
        return {"type": "any"}, required
    return _spec(kinds[0], scalars)[0], required


def _only_argument(hint: Any) -> Any:
    arguments = get_args(hint)
    if len(arguments) != 1:
        raise InvalidRequest(f"The type hint {show_hint(hint)} must name one type of its items.")
    return arguments[0]


def _value_hint(hint: Any) -> Any:
    arguments = get_args(hint)
    if len(arguments) != 2 or arguments[0] is not str:
        raise InvalidRequest(
            f"The keys of {show_hint(hint)} must be str, as JSON has them: dict[str, …]."
        )
    return arguments[1]


def field_columns(kind: type[Any]) -> list[Json]:
    """A column for each field, of the type that its hint says; what may be None is optional.

    Raises InvalidRequest, naming the field, where a hint is none that a schema knows.
    """
    properties = object_spec(kind)["properties"]
    return [{**properties[name], "name": name} for name in field_hints(kind)]


def field_hints(kind: type[Any]) -> dict[str, Any]:
    """The hint of each field of a dataclass or a pydantic model, in their order."""
    hints = get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {name: hints.get(name, field.annotation) for name, field in kind.model_fields.items()}
