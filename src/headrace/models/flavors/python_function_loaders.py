"""Models that only a module of their own can load: `loader_module` and its `_load_pyfunc`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

from headrace.errors import HeadraceError, InvalidModel, InvalidRequest
from headrace.models.mlflow_names import is_mlflow_installed, mlflow_names
from headrace.models.trust import VerifiedFolder

_WHY: Final = "a module that the model names as its loader"


def load_by_module(folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
    """What `_load_pyfunc(path)` or `_load_pyfunc(path, config)` of the loader module makes.

    Nothing is imported unless the folder is trusted. Raises InvalidRequest for a loader of
    MLflow's where MLflow is not installed, for a module that is missing or loads no models, and
    where loading fails.
    """
    name = facts.get("loader_module")
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise InvalidModel(f"The model's loader_module is {name!r}; expected a module's name.")
    folder.require_trust(name, _WHY)
    if name.partition(".")[0] == "mlflow" and not is_mlflow_installed():
        raise InvalidRequest(
            f"Headrace has no flavor for models that {name} loads; they load where MLflow is "
            "installed: pip install mlflow"
        )
    data = facts.get("data")
    path = str(folder.code_path("." if data is None else str(data), _WHY))
    config = facts.get("config") or None
    with mlflow_names():
        load = _loader(name)
        try:
            return load(path, config) if config else load(path)
        except HeadraceError:
            raise
        # The loader's own code may fail in any way.
        except Exception as error:
            raise InvalidRequest(
                f"The loader module {name} does not load the model: {type(error).__name__}: {error}"
            ) from error


def _loader(name: str) -> Any:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"The model is loaded by the module {name}, and '{error.name}' is not there. Install "
            "what brings it, or ship it with the model by code_paths."
        ) from error
    load = getattr(module, "_load_pyfunc", None)
    if not callable(load):
        raise InvalidRequest(
            f"The model names {name} as its loader module, which has no function _load_pyfunc."
        )
    return load
