"""The arguments of a training call as the parameters of its run."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.client.autolog.patching import Call


def params_of(
    call: Call, left_out: Iterable[str], more: Mapping[str, Any] | Iterable[Any] | None = None
) -> dict[str, Any]:
    """The arguments of a call, with the defaults of those that were not given, and `more`.

    Functions are named, and arrays described, for what they print as says little.
    """
    given = call.arguments
    skipped = {"self", *left_out}
    found = {
        name: given.get(name, parameter.default)
        for name, parameter in inspect.signature(call.function).parameters.items()
        if name not in skipped
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    found.update(more or {})
    return {str(name): described(value) for name, value in found.items()}


def described(value: Any) -> Any:
    """A function by its name, an array by its shape; anything else as it is."""
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    return value
