"""Schemas from the type hints of a predict function, after MLflow's rules.

The input is a list of what one row is: `list[str]`, `list[dict[str, float]]`,
`list[MyPydanticModel]`, `list[Any]` …; the output may be one of these, or a row alone. A signature
made so is marked in the `MLmodel`, and data is then checked against the hints and handed on as it
is, where other signatures make tables of it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_origin, get_type_hints

from headrace.errors import InvalidRequest
from headrace.models.hint_types import ROWS, schema_of_hint, show_hint
from headrace.models.infer_params import infer_params
from headrace.models.schema import AnyType, ColSpec, Schema
from headrace.models.signature import ModelSignature

_log: Final = logging.getLogger("headrace")

TypeFromExample = TypeVar("TypeFromExample")
"""As the hint of the input: it comes in the form that the input example has (MLflow's name)."""


def signature_from_type_hints(
    function: Callable[..., Any], params: Mapping[str, Any] | None = None
) -> ModelSignature | None:
    """The signature that the hints of a predict function or method give.

    None where the input has no hint, or one that says no schema (a DataFrame, an array,
    TypeFromExample, a row that is not in a list). An output without a usable hint may be
    anything. Raises InvalidRequest for a hint that looks like a schema but is none, such as
    `list` or `dict[int, str]`.
    """
    given = input_hint(function)
    if given is None or given is TypeFromExample or get_origin(given) is not list:
        _refuse_bare(given)
        return None
    inputs = schema_of_hint(given)
    outputs = Schema([ColSpec(AnyType())])
    if (returned := _hints(function).get("return")) is not None:
        try:
            outputs = schema_of_hint(returned)
        except InvalidRequest as error:
            _log.info("The output may be anything, for its type hint says no schema: %s", error)
    return ModelSignature(inputs, outputs, infer_params(params) if params else None)


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a predict method takes MLflow's context before the input."""
    names = _parameters(function)
    return "context" in names or len([name for name in names if name != "params"]) == 2


def input_hint(function: Callable[..., Any]) -> Any:
    """The type hint of the model's input; None without one."""
    names = [name for name in _parameters(function) if name != "params"]
    place = 1 if takes_context(function) else 0
    return _hints(function).get(names[place]) if len(names) > place else None


def output_hint(function: Callable[..., Any]) -> Any:
    """The type hint of what a predict function returns; None without one."""
    return _hints(function).get("return")


def _refuse_bare(hint: Any) -> None:
    """A list without the type of its items is an oversight rather than a wish."""
    if hint in (list, dict):
        raise InvalidRequest(
            f"The type hint {show_hint(hint)} says nothing of what is in it: give {ROWS}; or "
            f"take the hint away."
        )


def _parameters(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    is_object = not hasattr(function, "__annotations__")
    try:
        return get_type_hints(type(function).__call__ if is_object else function)
    except (NameError, TypeError, AttributeError) as error:
        _log.warning("The type hints of %r cannot be resolved: %s", function, error)
        return {}
