"""Lists the names of MLflow, with the parameters of what can be called, as one JSON document.

Run by the environment that holds MLflow.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from enum import Enum
from typing import Any

MODULES = (
    *("artifacts", "client", "config", "data", "entities", "entities.model_registry"),
    *("entities.model_registry.model_version_status", "exceptions", "system_metrics", "tracking"),
    *("tracking.client", "tracking.fluent", "utils.mlflow_tags"),
)
# Autologgers whose module MLflow imports without the library.
FLAVORS = ("lightgbm", "pytorch", "sklearn", "statsmodels", "transformers", "xgboost")
ENTITIES = (
    *("Dataset", "DatasetInput", "Experiment", "ExperimentTag", "FileInfo", "InputTag"),
    *("LifecycleStage", "LoggedModel", "LoggedModelInput", "LoggedModelOutput"),
    *("LoggedModelParameter", "LoggedModelStatus", "LoggedModelTag", "Metric", "Param", "Run"),
    *("RunData", "RunInfo", "RunInputs", "RunOutputs", "RunStatus", "RunTag", "ViewType"),
)
REGISTRY_ENTITIES = (
    *("ModelVersion", "ModelVersionTag", "RegisteredModel", "RegisteredModelAlias"),
    *("RegisteredModelTag",),
)
# What people make themselves, so that the order of the parameters counts.
MADE_BY_USERS = (
    *("Dataset", "DatasetInput", "ExperimentTag", "FileInfo", "InputTag", "LoggedModelInput"),
    *("LoggedModelOutput", "LoggedModelParameter", "LoggedModelTag", "Metric", "Param", "RunTag"),
)

Signature = list[list[str]]
Listing = dict[str, dict[str, Signature | None]]
"""By module or class, by name; None for what cannot be called."""


def signature(value: Any) -> Signature | None:
    """Name, kind and default of each parameter; None for what has no signature."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [
        [each.name, each.kind.name, _default(each.default)]
        for each in parameters
        if each.name != "self" and not each.name.startswith("_")
    ]


def _default(value: Any) -> str:
    """A default as text; of an enumeration its value, and all that is empty alike."""
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, Enum):
        value = value.value
    text = "()" if value in ([], ()) else repr(value)
    # How msgspec shows the default of a list.
    return "None" if text in ("<factory>", "()") else text


def names_of(module: Any) -> list[str]:
    """The documented names of a module; else constants named after it, and what it defines."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
            or (module.__name__.endswith("_tags") and name.startswith("MLFLOW_"))
        ]
    return sorted({name for name in listed if not name.startswith("_")})


def functions(owner: Any, names: list[str]) -> dict[str, Signature | None]:
    """The signature of each name; None for what is no function."""
    found = {}
    for name in names:
        value = getattr(owner, name, None)
        plain = callable(value) and not inspect.isclass(value)
        found[name] = signature(value) if plain else None
    return found


def listing() -> Listing:
    """Each group of names of MLflow."""
    mlflow = importlib.import_module("mlflow")
    client = mlflow.MlflowClient
    groups: Listing = {
        "": functions(mlflow, names_of(mlflow)),
        "MlflowClient": functions(client, [n for n in dir(client) if not n.startswith("_")]),
    }
    for name in MODULES:
        module = importlib.import_module(f"mlflow.{name}")
        groups[name] = functions(module, names_of(module))
    for name in FLAVORS:
        groups[name] = functions(importlib.import_module(f"mlflow.{name}"), ["autolog"])
    for home, entities in (("entities", ENTITIES), ("entities.model_registry", REGISTRY_ENTITIES)):
        for name in entities:
            entity = getattr(importlib.import_module(f"mlflow.{home}"), name)
            public = [each for each in dir(entity) if not each.startswith("_")]
            if issubclass(entity, str):
                public = [each for each in public if not hasattr(str, each)]
            groups[f"{home}.{name}"] = dict.fromkeys(public)
            if name in MADE_BY_USERS:
                groups[f"{home}.{name}"]["__init__"] = signature(entity)
    return groups


if __name__ == "__main__":
    json.dump(listing(), sys.stdout)
