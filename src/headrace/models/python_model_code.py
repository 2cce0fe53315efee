"""Models as code: a script that makes the model and names it with `set_model`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from headrace.errors import HeadraceError, InvalidRequest
from headrace.models.mlflow_names import is_mlflow_installed, mlflow_names
from headrace.models.model_config import asked_for

_chosen: ContextVar[list[Any] | None] = ContextVar("headrace-set-model", default=None)
_MLFLOW: Final = "mlflow.models.model"
_MARK: Final = "__mlflow_model__"


def set_model(model: Any) -> None:
    """Say, in the script of a model, which object is the model: one that has `predict`, or a
    function. InvalidRequest for anything else.
    """
    if not callable(model) and not callable(getattr(model, "predict", None)):
        raise InvalidRequest(
            f"set_model is given {type(model).__name__}; expected a PythonModel, or a function "
            "that takes the input."
        )
    chosen = _chosen.get()
    if chosen is not None:
        chosen.append(model)
    elif hasattr(theirs := sys.modules.get(_MLFLOW), _MARK):
        setattr(theirs, _MARK, model)  # MLflow is running the script


def run_script(source: bytes, file: Path, config: Mapping[str, Any] | None) -> Any:
    """The object that a script names as its model; `source` is run, `file` is for tracebacks.

    `config` is what ModelConfig gives it. Ask for trust before. InvalidRequest where the script
    fails, or names no model.
    """
    chosen: list[Any] = []
    token = _chosen.set(chosen)
    try:
        with mlflow_names(), _theirs(source) as theirs, asked_for(config):
            _execute(source, file)
            found = chosen[-1] if chosen else theirs()
    finally:
        _chosen.reset(token)
    if found is None:
        raise InvalidRequest(
            f"The script '{file.name}' does not say which object is the model: it must call "
            "headrace.models.set_model(…) (or mlflow's)."
        )
    return found


def _execute(source: bytes, file: Path) -> None:
    module = ModuleType(f"code_model_{uuid.uuid4().hex}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # its classes are looked up there, by pydantic and pickle
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 - a model's own code
    except ModuleNotFoundError as error:
        raise _failed(file, error, _advice(error)) from error
    except HeadraceError:
        raise
    # The user's own code may fail in any way, or end the program.
    except (Exception, SystemExit) as error:
        raise _failed(file, error) from error


def _failed(file: Path, error: BaseException, advice: str = "") -> InvalidRequest:
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" in line {line}" if line is not None else ""
    return InvalidRequest(
        f"The script '{file.name}' fails{where}: {type(error).__name__}: {error}.{advice}"
    )


def _advice(error: ModuleNotFoundError) -> str:
    name = error.name or ""
    if name.partition(".")[0] == "mlflow":
        return " Headrace has no part of that name; install MLflow: pip install mlflow"
    if _is_ours(error):
        return (
            " The script uses a part of Headrace that does more than models need, and the packages "
            "for that are not in the model's environment. Do without it, add them to the model's "
            "requirements (headrace models update-pip-requirements), or take the packages that are "
            "installed where you are: --env-manager local."
        )
    return (
        f" Install what brings the module '{name}' (requirements.txt of the model lists it), or "
        "ship it with the model by code_paths."
    )


def _is_ours(error: ModuleNotFoundError) -> bool:
    """Whether a module of Headrace, which the script imports, has imported what is missing."""
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith("headrace.") and name != __name__:
            return True
        trace = trace.tb_next
    return False


@contextmanager
def _theirs(source: bytes) -> Iterator[Any]:
    """Where the real MLflow is installed: what its set_model is called with."""
    if not is_mlflow_installed() or (_MLFLOW not in sys.modules and b"mlflow" not in source):
        yield lambda: getattr(sys.modules.get(_MLFLOW), _MARK, None)
        return
    import importlib

    importlib.import_module("mlflow.models.model_config")  # so that it can be told
    module = importlib.import_module(_MLFLOW)
    before = getattr(module, _MARK, None)
    setattr(module, _MARK, None)
    try:
        yield lambda: getattr(module, _MARK, None)
    finally:
        setattr(module, _MARK, before)
