"""Lists the names of MLflow, with the parameters of what can be called, as one JSON document.

Run by the environment that holds MLflow.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from enum import Enum
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

MODULES = (
    *("artifacts", "client", "config", "data", "entities", "entities.model_registry"),
    *("entities.model_registry.model_version_status", "exceptions", "system_metrics", "tracking"),
    *("tracking.client", "tracking.fluent", "utils.mlflow_tags"),
    *("models", "models.auth_policy", "models.evaluation", "models.model", "models.model_config"),
    *("models.resources", "models.signature", "models.utils"),
    *("pyfunc", "pyfunc.model", "pyfunc.utils", "types", "types.schema", "types.type_hints"),
)
FLAVORS = (
    *("catboost", "keras", "lightgbm", "onnx", "pytorch", "sentence_transformers", "sklearn"),
    *("statsmodels", "tensorflow", "transformers", "xgboost"),
)
# What a module has beside the names that it defines or lists.
FURTHER = {
    "pyfunc": (
        *("ChatAgent", "ChatModel", "PythonModel", "PythonModelContext", "ResponsesAgent"),
        *("get_default_conda_env", "get_default_pip_requirements"),
    ),
    "pytorch": ("load_state_dict", "log_state_dict", "save_state_dict"),
}
# MLflow asks for these when its modules for them are imported; its signatures do not.
NEEDED_BY_IMPORTS = ("keras", "tensorflow")
# Packages whose modules are compared: which are there at all.
PACKAGES = ("", "models", "pyfunc", "types")
CLASSES = (
    *("models.Model", "models.ModelConfig", "models.ModelSignature", "models.model.ModelInfo"),
    *("models.EvaluationArtifact", "models.EvaluationMetric", "models.EvaluationResult"),
    *("models.MetricThreshold", "models.resources.Resource", "pyfunc.PyFuncModel"),
    *("pyfunc.PythonModel", "pyfunc.PythonModelContext", "types.ColSpec", "types.DataType"),
    *("types.ParamSchema", "types.ParamSpec", "types.Schema", "types.TensorSpec"),
    *("types.schema.AnyType", "types.schema.Array", "types.schema.Map", "types.schema.Object"),
    *("types.schema.Property",),
)
# Those that are only given back: nobody makes them.
GIVEN_BACK = (
    *("EvaluationArtifact", "EvaluationMetric", "EvaluationResult", "ModelInfo", "PyFuncModel"),
)
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
    """A default as text; of an enumeration its value, and all that is empty or made alike."""
    if value is inspect.Parameter.empty:
        return "required"
    if inspect.isfunction(value):
        return "None"
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


class Absent(ModuleType):
    """A library that is not there, in which anything is found: classes, modules, functions."""

    __version__ = "99.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else Absent(name)

    def __call__(self, *_given: Any, **_named: Any) -> Any:
        return self


class AbsentFinder:
    """Finds the libraries that are not there."""

    def find_spec(self, name: str, *_given: Any) -> ModuleSpec | None:
        found = name.partition(".")[0] in NEEDED_BY_IMPORTS
        return ModuleSpec(name, self, is_package=True) if found else None  # type: ignore[arg-type]  # it is a loader in all that is asked of it

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""


def attributes(kind: type, *, is_made: bool) -> dict[str, Signature | None]:
    """The public attributes of a class: methods, properties, and what it is made with."""
    names = [name for name in dir(kind) if not name.startswith("_")]
    found = functions(kind, names)
    if is_made:
        found["__init__"] = signature(kind)
    return found


def modules() -> dict[str, Signature | None]:
    """The public modules of MLflow, of the packages that people import models' names from."""
    found = []
    for package in PACKAGES:
        home = importlib.import_module(f"mlflow.{package}".removesuffix("."))
        names = [each.name for each in pkgutil.iter_modules(home.__path__)]
        found += [f"{package}.{n}".removeprefix(".") for n in names if not n.startswith("_")]
    return dict.fromkeys(sorted(found))


def listing() -> Listing:
    """Each group of names of MLflow."""
    if any(find_spec(name) is None for name in NEEDED_BY_IMPORTS):
        sys.meta_path.append(AbsentFinder())
    mlflow = importlib.import_module("mlflow")
    client = mlflow.MlflowClient
    groups: Listing = {
        "": functions(mlflow, names_of(mlflow)),
        "MlflowClient": functions(client, [n for n in dir(client) if not n.startswith("_")]),
    }
    groups["modules"] = modules()
    for name in (*MODULES, *FLAVORS):
        module = importlib.import_module(f"mlflow.{name}")
        groups[name] = functions(module, [*names_of(module), *FURTHER.get(name, ())])
    for path in CLASSES:
        home, _, name = path.rpartition(".")
        kind = getattr(importlib.import_module(f"mlflow.{home}"), name)
        groups[path] = attributes(kind, is_made=name not in GIVEN_BACK)
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
