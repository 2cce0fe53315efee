"""Makes python-api.md from the signatures and docstrings of what `import headrace` offers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import headrace
from headrace import data, entities, errors
from headrace.client import artifacts
from headrace.client.client import Client

INTRODUCTION = """\
# The Python API

`import headrace as mlflow` works for what is named here: names, parameters and the attributes of
what is given back are MLflow's. Everything raises a `HeadraceError` (also named `MlflowException`)
of one of the kinds [at the end](#errors); a caller's mistake raises at the call, by the name of
the field. What logs returns at once and waits for no server; what reads sees all that this program
has logged ([what that promises](../explanation/durability.md)).

"""

GROUPS = {
    "Runs": ("active",),
    "Logging": ("fluent",),
    "Logging by itself": ("autolog.switch", "switches", "system_metrics"),
    "Reading and searching": ("reading", "history", "compare"),
    "Experiments": ("experiment",),
    "Models": ("model_logging", "model_loading", "models", "active_model"),
    "Where things are tracked": ("tracking", "doctor"),
}


def python_page() -> str:
    """The whole page."""
    offered = {name: getattr(headrace, name) for name in headrace.__all__}
    parts = [INTRODUCTION]
    for title, modules in GROUPS.items():
        parts.append(f"## {title}\n\n")
        homes = {f"headrace.client.{module}" for module in modules}
        for name, value in offered.items():
            if inspect.isfunction(value) and value.__module__ in homes:
                parts.append(_entry(f"headrace.{name}", value))
    parts.append("## Evaluation\n\n")
    for name in ("evaluate", "validate_evaluation_results"):
        parts.append(_entry(f"headrace.{name}", offered[name]))
    parts.append("## Data sets\n\n")
    for name in data.__all__:
        value = getattr(data, name)
        if inspect.isfunction(value):
            parts.append(_entry(f"headrace.data.{name}", value))
    parts.append(f"## Image\n\n{inspect.getdoc(headrace.Image)}\n\n")
    parts += [_entry(f"Image.{name}", method) for name, method in _methods(headrace.Image)]
    parts.append("## Artifacts by URI\n\n")
    for name in ("download_artifacts", "list_artifacts", "load_dict", "load_image", "load_text"):
        parts.append(_entry(f"headrace.artifacts.{name}", getattr(artifacts, name)))
    parts.append("## Client\n\n`Client(tracking_uri=None, registry_uri=None)`, ")
    parts.append(f"also named `MlflowClient`.\n\n{inspect.getdoc(Client)}\n\n")
    parts += [_entry(f"Client.{name}", method) for name, method in _methods(Client)]
    parts.append("## What is given and taken\n\nImport these from `headrace.entities`.\n\n")
    parts += list(_structs())
    parts.append("\n## Errors\n\n| error | HTTP | meaning |\n|---|---|---|\n")
    for family in _families(errors.HeadraceError):
        meaning = _first_line(family)
        parts.append(
            f"| `headrace.errors.{family.__name__}` | {family.http_status} | {meaning} |\n"
        )
    return "".join(parts)


def _entry(name: str, function: Any) -> str:
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for key, parameter in inspect.signature(function).parameters.items()
        if key != "self"
    ]
    plain = inspect.Signature(parameters)
    return f"### `{name}{plain}`\n\n{inspect.getdoc(function)}\n\n"


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, value in inspect.getmembers(owner, inspect.isfunction):
        if not name.startswith("_"):
            yield name, value


def _structs() -> Iterator[str]:
    yield "| name | fields | meaning |\n|---|---|---|\n"
    for name in entities.__all__:
        value = getattr(entities, name)
        fields: Any = getattr(value, "__struct_fields__", None)
        fields = fields or getattr(value, "__members__", ())
        shown = ", ".join(f"`{field}`" for field in fields)
        yield f"| `{name}` | {shown} | {_first_line(value)} |\n"


def _families(root: type[errors.HeadraceError]) -> Iterator[type[errors.HeadraceError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:  # others are an inside matter of servers
            yield from _families(child)


def _first_line(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split()).replace("|", "or")
