"""`import mlflow` in the code of a model, where MLflow is not installed.

Models that were made with MLflow name it: their scripts import it, and their pickles refer to its
classes. While such code is loaded or predicts, and only where the real MLflow cannot be found,
these names lead to Headrace's own. Outside they do not: other libraries look whether MLflow is
there, and shall not be told that it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import Lock
from types import ModuleType
from typing import Any, Final

MLFLOW: Final = "mlflow"
_PRIVATE: Final[dict[str, dict[str, str]]] = {
    # What pickles of MLflow's name and is not public.
    "mlflow.pyfunc.model": {
        "_FunctionPythonModel": "headrace.models.python_model:FunctionModel",
    },
    "mlflow.pyfunc.utils.data_validation": {
        "pyfunc": "headrace.models.python_model:pyfunc",
        "FuncInfo": "headrace.models.python_model_pickle:FuncInfo",
        "_validate_model_input": "headrace.models.python_model_hints:checked_arguments",
    },
    "mlflow.models.signature": {
        "_TypeHints": "headrace.models.python_model_pickle:Forgotten",
    },
    "mlflow.models.model": {"set_model": "headrace.models.python_model_code:set_model"},
    MLFLOW: {"__version__": "headrace.version:MLFLOW_VERSION"},
    "mlflow.models.model_config": {"ModelConfig": "headrace.models.model_config:ModelConfig"},
}


def is_mlflow_installed() -> bool:
    """Whether the real MLflow can be imported."""
    loaded = sys.modules.get(MLFLOW)
    if loaded is not None:
        return not isinstance(loaded, _Module)
    return _is_on(tuple(sys.path))


@lru_cache(maxsize=4)  # it is asked before every prediction
def _is_on(_path: tuple[str, ...]) -> bool:
    return PathFinder.find_spec(MLFLOW) is not None


@contextmanager
def mlflow_names() -> Iterator[None]:
    """Have `mlflow` lead to Headrace, where MLflow is not installed. In any thread, and nested."""
    if is_mlflow_installed():
        yield
        return
    _finder.begin()
    try:
        yield
    finally:
        _finder.end()


class _Module(ModuleType):
    """A module of MLflow's name; what is in it is looked up when it is asked for."""

    def __getattr__(self, name: str) -> Any:
        place = self.__name__
        private = _PRIVATE.get(place, {}).get(name)
        if private is not None:
            module, _, attribute = private.partition(":")
            return getattr(importlib.import_module(module), attribute)
        if name.startswith("__"):
            raise AttributeError(f"module {place!r} has no attribute {name!r}")
        home = _home_of(place)
        try:
            return getattr(home, name)
        except AttributeError:
            raise AttributeError(
                f"The model uses {place}.{name}, which Headrace does not have; it can be loaded "
                "where MLflow is installed: pip install mlflow"
            ) from None


class _Finder(MetaPathFinder, Loader):
    """Finds the modules, as long as somebody has them found."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._users = 0
        self._lock = Lock()

    def begin(self) -> None:
        """One more who needs the names."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                sys.modules.update(self._modules)
                sys.meta_path.append(self)

    def end(self) -> None:
        """One fewer; after the last, no trace is left but what code holds already."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                sys.meta_path.remove(self)
                for name in self._modules:
                    if isinstance(sys.modules.get(name), _Module):
                        del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if fullname.partition(".")[0] != MLFLOW or not _is_known(fullname):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See Loader."""
        return self._modules.setdefault(spec.name, _Module(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """See Loader: there is nothing to execute."""


_finder: Final = _Finder()


def _is_known(name: str) -> bool:
    if name in _PRIVATE or any(each.startswith(f"{name}.") for each in _PRIVATE):
        return True
    try:
        return importlib.util.find_spec(_ours(name)) is not None
    except (ImportError, ValueError):
        return False


def _home_of(name: str) -> ModuleType | None:
    """Headrace's module of the same name; None where there is none."""
    try:
        return importlib.import_module(_ours(name))
    except ModuleNotFoundError:
        return None


def _ours(name: str) -> str:
    return f"headrace{name[len(MLFLOW) :]}"
