"""Models written in Python: a `PythonModel`, a function, a script, or a module that loads one.

A script is the form to prefer: it can be read, and it outlives the Python it was written for. A
class or function is a cloudpickle. All of these run code when they are loaded, so they load where
their signer is trusted.
"""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.environment.functions import modules_in_functions
from headrace.models.environment.imports import modules_in_source
from headrace.models.environment.pickles import modules_in_pickle
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.python_function_artifacts import (
    artifacts_of,
    open_artifacts,
    take_artifacts,
)
from headrace.models.flavors.python_function_code import local_code, warn_of_missing_code
from headrace.models.flavors.python_function_loaders import load_by_module
from headrace.models.flavors.python_function_predict import (
    LoadedPythonModel,
    LoaderPredictor,
    PythonModelPredictor,
)
from headrace.models.python_model import FunctionModel, PythonModel, PythonModelContext
from headrace.models.trust import VerifiedFolder

PICKLE_FILE: Final = "python_model.pkl"
CLASS_LOADER: Final = "mlflow.pyfunc.model"
CODE_LOADER: Final = "mlflow.pyfunc.loaders.code_model"
DATA: Final = "data"
_CODE: Final = "code"
_AGENTS: Final = frozenset(("ChatModel", "ChatAgent", "ResponsesAgent"))
"""MLflow's classes that only MLflow can call."""


class PythonFunctionFlavor(Flavor):
    """See the module."""

    name = "python_function"
    loader_module = CLASS_LOADER
    package = "cloudpickle"
    install = "cloudpickle"

    def handles(self, model: Any) -> bool:
        """See Flavor: also the path of a script."""
        if isinstance(model, str | Path):
            return Path(model).suffix == ".py"
        return callable(model) or _is_python_model(model)

    def save(
        self,
        model: Any,
        target: Target,
        *,
        artifacts: Mapping[str, Any] | None = None,
        streamable: bool | None = None,
        infer_code_paths: bool = False,
        loader_module: str | None = None,
        data_path: str | Path | None = None,
    ) -> Saved:
        """See Flavor. `model` is a PythonModel, a function, or the path of a script; None for one
        that `loader_module` loads, from a copy of `data_path`.
        """
        if infer_code_paths and target.code_paths:
            raise InvalidRequest("Give 'code_paths' or 'infer_code_paths', not both.")
        if loader_module is not None or data_path is not None:
            if model is not None or artifacts is not None:
                raise InvalidRequest(
                    "A model is loaded by 'loader_module' (and 'data_path'), or is a "
                    "'python_model' (with 'artifacts'): give one of the two."
                )
            saved = _save_for_loader(loader_module, data_path, target, streamable)
        else:
            saved = _save_model(model, target, artifacts_of(artifacts or {}), streamable)
        if infer_code_paths:
            return _with_local_code(saved, target)
        warn_of_missing_code(saved.modules, target.code_paths)
        return saved

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor. A LoadedPythonModel, or what a loader module has made."""
        loader = facts.get("loader_module")
        if loader not in (CLASS_LOADER, CODE_LOADER):
            return _keep_files(folder, load_by_module(folder, facts))
        config = facts.get("config") or {}
        if facts.get("model_code_path") is not None:
            model = _load_script(folder, facts, config)
            if _is_agent(model):
                return _keep_files(folder, load_by_module(folder, facts))
        else:
            model = _load_pickle(folder, facts)
        context = PythonModelContext(open_artifacts(folder, facts.get("artifacts")), config)
        return _in_context(_keep_files(folder, _as_model(model)), context)

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        if isinstance(native, LoadedPythonModel):
            return PythonModelPredictor(native)
        return LoaderPredictor(native, str(facts.get("predict_fn", "predict")))


def _save_model(
    model: Any, target: Target, artifacts: Mapping[str, Any], streamable: bool | None
) -> Saved:
    from headrace.models.python_model_pickle import dump_model, load_model

    if isinstance(model, str | Path):
        path = _script(model)
        source = path.read_bytes()
        native = _as_model(_run(source, path, target.model_config))
        target.take(path, path.name)
        facts: dict[str, Any] = {"loader_module": CODE_LOADER, "model_code_path": path.name}
        modules = frozenset(modules_in_source(source, path.name))

        def again() -> Any:
            return native

    else:
        native = _as_model(model)
        data = dump_model(native)
        (target.folder / PICKLE_FILE).write_bytes(data)
        facts = {"python_model": PICKLE_FILE}
        modules = frozenset(modules_in_pickle(data) | modules_in_functions(native))

        def again() -> Any:
            return load_model(data)

    import cloudpickle

    facts["cloudpickle_version"] = cloudpickle.__version__
    facts["streamable"] = _streams(native) if streamable is None else bool(streamable)
    facts[_CODE] = _CODE if target.code_paths else None
    if artifacts:
        facts["artifacts"] = take_artifacts(target, artifacts)
    paths = {name: str(artifact.path) for name, artifact in artifacts.items()}
    signature = _signature(native, target)
    return Saved(
        {},
        facts,
        packages=("cloudpickle",),
        modules=modules - {"__main__"},
        pickled=(PICKLE_FILE,) if PICKLE_FILE in facts.values() else (),
        signature=signature,
        signature_from_type_hints=signature is not None,
        type_hint_from_example=_wants_example_form(native, target),
        predictor=lambda: PythonModelPredictor(
            _in_context(_as_model(again()), PythonModelContext(paths, target.model_config))
        ),
    )


def _save_for_loader(
    loader: str | None, data_path: str | Path | None, target: Target, streamable: bool | None
) -> Saved:
    if loader is None:
        raise InvalidRequest("'data_path' needs 'loader_module': the module that loads it.")
    facts: dict[str, Any] = {"loader_module": loader, "streamable": bool(streamable)}
    facts[_CODE] = _CODE if target.code_paths else None
    if data_path is not None:
        name = f"{DATA}/{Path(data_path).resolve().name}"
        target.take(data_path, name)
        facts[DATA] = name

    def cannot() -> Predictor:
        raise InvalidRequest("a model of a loader module is not tried before it is saved")

    return Saved(
        {},
        facts,
        packages=("cloudpickle",),
        modules=frozenset({loader}),
        predictor=cannot,
    )


def _with_local_code(saved: Saved, target: Target) -> Saved:
    """Ship the user's own modules that the model needs."""
    from dataclasses import replace

    from headrace.models.environment.imports import modules_imported_by

    files = local_code(saved.modules)
    for file in files:
        target.take(file, f"{_CODE}/{file.name}")
    pyfunc = {**(saved.pyfunc or {}), _CODE: _CODE if files else None}
    return replace(saved, pyfunc=pyfunc, modules=saved.modules | modules_imported_by(files))


def _script(given: str | Path) -> Path:
    path = Path(given).expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise InvalidRequest(
            f"'{given}' is no script: a model as code is a file of Python (.py) that calls "
            "headrace.models.set_model."
        )
    return path


def _run(source: bytes, file: Path, config: Mapping[str, Any]) -> Any:
    from headrace.models.python_model_code import run_script

    return run_script(source, file, config)


def _load_script(
    folder: VerifiedFolder, facts: Mapping[str, Any], config: Mapping[str, Any]
) -> Any:
    name = str(facts["model_code_path"]).replace("\\", "/").rpartition("/")[2]
    source = folder.code(name, "a script that makes the model")
    return _run(source, folder.path / name, config)


def _load_pickle(folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
    from headrace.models.python_model_pickle import load_model

    name = facts.get("python_model")
    if not isinstance(name, str):
        raise InvalidModel(f"The model's 'python_model' is {name!r}; expected a file's name.")
    data = folder.code(name, "a pickle")
    compression = facts.get("python_model_compression")
    if compression is None:
        _check_python(data, facts.get("python_version"))
    return load_model(data, None if compression is None else str(compression))


def _check_python(data: bytes, version: Any) -> None:
    """Raise InvalidRequest for code of another Python, which would fail in strange ways."""
    here = ".".join(map(str, sys.version_info[:2]))
    made = ".".join(str(version).split(".")[:2])
    if version is None or made == here:
        return
    if any(each.partition(".")[0] == "cloudpickle" for each in modules_in_pickle(data)):
        raise InvalidRequest(
            f"The model was pickled by Python {made}, and this is Python {here}: a class or "
            f"function in a pickle only runs on the Python that wrote it. Load it with Python "
            f"{made} (headrace models prepare-env makes its environment), or save it as code."
        )


def _as_model(model: Any) -> Any:
    """A function as a PythonModel; a PythonModel as it is. InvalidRequest for anything else."""
    import inspect

    if _is_agent(model):
        raise InvalidRequest(
            f"{type(model).__name__} is one of MLflow's agents (ChatModel, ChatAgent, "
            "ResponsesAgent), which Headrace does not save; save it with MLflow, or derive it "
            "from PythonModel."
        )
    if _is_python_model(model):
        return model
    if not callable(model) or isinstance(model, type):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise InvalidRequest(
            f"The model is {kind}; expected an object of a PythonModel, a function that takes the "
            "input, or the path of a script."
        )
    names = list(inspect.signature(model).parameters)
    if len(names) != 1:
        raise InvalidRequest(
            f"A function that is a model takes one argument, its input; this takes {len(names)}: "
            f"{', '.join(names) or 'none'}. Write a PythonModel to have more."
        )
    return FunctionModel(model)


def _keep_files(folder: VerifiedFolder, model: Any) -> Any:
    """Keep the private copies of files as long as the model, which may open them at any time."""
    try:
        weakref.finalize(model, folder.close)
    except TypeError:  # an object that does not say when it goes
        atexit.register(folder.close)
    return model


def _is_python_model(model: Any) -> bool:
    return isinstance(model, PythonModel) or any(
        kind.__module__ == CLASS_LOADER and kind.__name__ == "PythonModel"
        for kind in type(model).__mro__
    )


def _is_agent(model: Any) -> bool:
    return comes_from(model, "mlflow") and any(
        kind.__module__ == CLASS_LOADER and kind.__name__ in _AGENTS for kind in type(model).__mro__
    )


def _in_context(model: Any, context: PythonModelContext) -> LoadedPythonModel:
    from headrace.models.mlflow_names import mlflow_names

    with mlflow_names():
        model.load_context(context)
    return LoadedPythonModel(model, context)


def _streams(model: Any) -> bool:
    """Whether a model has written its own `predict_stream`."""
    own = getattr(type(model), "predict_stream", None)
    return own is not None and not own.__module__.startswith(("headrace.", "mlflow."))


def _predict_of(model: Any) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(model, "func", model.predict)
    return found


def _signature(model: Any, target: Target) -> Any:
    """The signature by the type hints of `predict`; None where they say none."""
    from headrace.models.type_hints import signature_from_type_hints

    if target.signature is not None:
        return None
    return signature_from_type_hints(_predict_of(model), target.example_params)


def _wants_example_form(model: Any, target: Target) -> bool:
    from headrace.models.type_hints import TypeFromExample, input_hint

    if input_hint(_predict_of(model)) is not TypeFromExample:
        return False
    if target.example is None:
        raise InvalidRequest(
            "The type hint TypeFromExample needs an 'input_example', whose form it names."
        )
    return True
