"""What predictors of tables do with what they are given, before it goes to their library."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_log: Final = logging.getLogger("headrace")


def as_table(data: Any) -> Any:
    """`data`, with dictionaries of columns, lists of rows, and Polars' tables as pandas' tables.

    Arrays, sparse matrices, plain lists and pandas' own stay as they are.
    """
    if isinstance(data, dict):
        return _frame({name: _column(value) for name, value in data.items()})
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return _frame(data)
    if type(data).__module__.partition(".")[0] == "polars" and hasattr(data, "to_dict"):
        return _frame({each.name: each.to_numpy() for each in data.get_columns()})
    return data


def known_params(
    method: Callable[..., Any], params: Mapping[str, Any] | None, what: str
) -> dict[str, Any]:
    """Those of `params` that a method takes; a warning names the others, which MLflow drops."""
    if not params:
        return {}
    taken = inspect.signature(method).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values()):
        return dict(params)
    dropped = sorted(set(params) - set(taken))
    if dropped:
        _log.warning("%s takes no params %s; they are left out.", what, ", ".join(dropped))
    return {name: value for name, value in params.items() if name in taken}


def _column(value: Any) -> Any:
    return value if hasattr(value, "__len__") and not isinstance(value, str) else [value]


def _frame(data: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(data)


def class_named(folder: VerifiedFolder, name: Any, package: str, known: Mapping[str, str]) -> Any:
    """The class that an MLmodel file names, out of `package`, where it is one of the `known`.

    A class of somebody's own is imported only from a folder that is trusted: else NotTrusted.
    InvalidRequest where it is not there.
    """
    if isinstance(name, str) and name in known:
        return getattr(importlib.import_module(package), known[name])
    folder.require_trust(f"model_class: {name}", f"no class of {package}")
    module, _, last = str(name).rpartition(".")
    try:
        return getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest(
            f"The model is of the class '{name}', which is not to be found: {error}. Ship its "
            "module with the model (code_paths), or install what it is from."
        ) from error
