"""PyTorch's modules: as an exported program, which runs nothing on load, or pickled.

A program (`torch.export`) needs an example to follow the model with; `pytorch_export` says why it
is checked before PyTorch sees it. A model without an example, or one that cannot be exported, is
pickled; TorchScript is a program that its own format does not confine. Both need trust.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.models.trust import VerifiedFolder

_log: Final = logging.getLogger("headrace")
DATA: Final = "data"
PROGRAM_FILE: Final = "model.pt2"
PICKLE_FILE: Final = "model.pth"
PICKLE_MODULE_FILE: Final = "pickle_module_info.txt"
PICKLE_MODULE: Final = "mlflow.pytorch.pickle_module"
"""What MLflow imports to unpickle: cloudpickle with the names that PyTorch asks for."""
_PLAIN_PICKLES: Final = frozenset(
    {PICKLE_MODULE, "pickle", "cloudpickle", "cloudpickle.cloudpickle"}
)
"""Modules whose pickles Python's own unpickler reads."""
_FORMATS: Final = (None, "pt2", "pickle")
_OTHERS: Final = ("keras", "transformers", "sentence_transformers", "peft", "diffusers")
"""Libraries whose models are modules too, and have flavors of their own."""


class PyTorchFlavor(Flavor):
    """See the module."""

    name = "pytorch"
    loader_module = "mlflow.pytorch"
    package = "torch"
    install = "torch"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        if any(comes_from(model, package) for package in _OTHERS):
            return False
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(model).__mro__}
        return not names.isdisjoint(
            {"torch.nn.modules.module.Module", "torch.export.exported_program.ExportedProgram"}
        )

    def save(
        self,
        model: Any,
        target: Target,
        *,
        serialization_format: str | None = None,
        pickle_module: Any = None,
        export_model: bool = False,
        pickle_protocol: int | None = None,
    ) -> Saved:
        """See Flavor. `serialization_format` is "pt2" or "pickle".

        By default it is "pt2" where there is an example and the model can be exported with it.
        `pickle_module` and `pickle_protocol` are torch.save's.
        """
        import torch

        wanted = _wanted(serialization_format, export_model=export_model)
        _check_kind(model)
        (target.folder / DATA).mkdir()
        is_script = isinstance(model, torch.jit.ScriptModule)
        if is_script and wanted == "pt2":
            raise InvalidRequest(
                "A TorchScript module cannot be exported again: leave serialization_format out, "
                "or give the module that it was made from."
            )
        saved = None if wanted == "pickle" or is_script else _try_export(model, target, wanted)
        return saved or _pickle(model, target, pickle_module, pickle_protocol)

    def load(
        self,
        folder: VerifiedFolder,
        facts: Mapping[str, Any],
        *,
        device: str | None = None,
        **options: Any,
    ) -> Any:
        """See Flavor. On `device`, or where it was saved; `options` are torch.load's.

        A module in evaluation mode. What was exported comes back as a `GraphModule`: the
        calculation, without the class that it was written in.
        """
        data = str(facts.get("model_data") or facts.get("data") or DATA)
        if folder.has(f"{data}/{PICKLE_FILE}"):
            return _unpickled(folder, f"{data}/{PICKLE_FILE}", device, options)
        if folder.has(f"{data}/{PROGRAM_FILE}"):
            return _program(folder, f"{data}/{PROGRAM_FILE}", device)
        return _unpickled(folder, data, device, options)  # MLflow before 1.0: the file itself

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor. `config` may name the "device"."""
        from headrace.models.flavors.pytorch_predictor import PyTorchPredictor

        return PyTorchPredictor(native, config.get("device"))


def _wanted(serialization_format: str | None, *, export_model: bool) -> str | None:
    if serialization_format not in _FORMATS:
        raise InvalidRequest(
            f"'serialization_format' is {serialization_format!r}; expected 'pt2' or 'pickle'."
        )
    if export_model and serialization_format == "pickle":
        raise InvalidRequest("'export_model' is True and 'serialization_format' is 'pickle'.")
    return "pt2" if export_model else serialization_format


def _check_kind(model: Any) -> None:
    import torch

    if isinstance(model, torch.nn.Module | torch.export.ExportedProgram):
        return
    hint = ""
    if isinstance(model, Mapping):
        hint = (
            " This looks like a state_dict, which is no model by itself: load it into its module "
            "(module.load_state_dict(…)) and give that, or use headrace.pytorch.log_state_dict."
        )
    raise InvalidRequest(
        f"A PyTorch model is a torch.nn.Module; this is a {type(model).__qualname__}.{hint}"
    )


def _try_export(model: Any, target: Target, wanted: str | None) -> Saved | None:
    """The model as a program; None where it is to be pickled instead."""
    import torch

    from headrace.models.flavors.pytorch_exporting import exported

    if isinstance(model, torch.export.ExportedProgram):
        program = model
    elif target.example is None:
        if wanted == "pt2":
            raise InvalidRequest(
                "serialization_format='pt2' needs an input_example (arrays, tensors or a table): "
                "the model is followed with it."
            )
        return None
    else:
        try:
            program = exported(model, target.example, target.signature)
        # torch.export fails in ways of many kinds, at what models do; their pickles still work.
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if wanted == "pt2":
                raise InvalidRequest(
                    f"The model cannot be exported with this input_example: {reason}. "
                    "serialization_format='pickle' saves it as it is."
                ) from error
            _log.warning("The model cannot be exported, so it is pickled: %s", reason)
            return None
    return _saved_program(program, target)


def _saved_program(program: Any, target: Target) -> Saved:
    import torch

    from headrace.models.flavors.pytorch_export import UnsafeProgram, check_program

    file = target.folder / DATA / PROGRAM_FILE
    torch.export.save(program, file)
    unsafe: tuple[str, ...] = ()
    try:
        check_program(file)
    except UnsafeProgram as error:
        _log.warning("The exported model needs trust to be loaded: %s.", error)
        unsafe = (f"{DATA}/{PROGRAM_FILE}",)
    return _saved(target, PICKLE_MODULE, packages=("torch",), pickled=unsafe)


def _pickle(model: Any, target: Target, module: Any, protocol: int | None) -> Saved:
    import cloudpickle
    import torch

    file = target.folder / DATA / PICKLE_FILE
    if isinstance(model, torch.jit.ScriptModule):
        with _quietly():
            torch.jit.save(model, file)
        modules: frozenset[str] = frozenset()
    else:
        options = {} if protocol is None else {"pickle_protocol": protocol}
        torch.save(model, file, pickle_module=module or cloudpickle, **options)
        modules = _modules_in(file)
    name = PICKLE_MODULE if module is None else str(module.__name__)
    (target.folder / DATA / PICKLE_MODULE_FILE).write_text(name)
    packages = ("torch", "cloudpickle")
    return _saved(
        target, name, packages=packages, modules=modules, pickled=(f"{DATA}/{PICKLE_FILE}",)
    )


def _saved(target: Target, pickle_module: str, **more: Any) -> Saved:
    import torch

    pyfunc = {
        "data": DATA,
        "pickle_module_name": pickle_module,
        "config": {"device": None, **target.model_config},
    }
    facts = {"model_data": DATA, "pytorch_version": str(torch.__version__)}
    return Saved(facts, pyfunc, **more)


def _modules_in(file: Path) -> frozenset[str]:
    """The modules that a file of torch.save names."""
    import zipfile

    from headrace.models.environment.pickles import modules_in_pickle

    found: set[str] = set()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    found |= modules_in_pickle(archive.read(name))
    return frozenset(found)


def _unpickled(
    folder: VerifiedFolder, name: str, device: str | None, options: dict[str, Any]
) -> Any:
    import torch

    path = folder.code_path(name, "a pickle (PyTorch's .pth)")
    place = device or (None if torch.cuda.is_available() else "cpu")
    given = {"weights_only": False, "map_location": place, **options}
    if "pickle_module" not in given:
        given["pickle_module"] = _pickle_module(folder, f"{name.rpartition('/')[0]}")
    try:
        with _quietly():
            if _is_script(path):
                model = torch.jit.load(str(path), map_location=given["map_location"])
            else:
                model = torch.load(path, **given)
    # What a pickle raises is up to what is in it: a missing module, a class that changed.
    except Exception as error:
        raise InvalidRequest(
            f"'{name}' cannot be unpickled: {type(error).__name__}: {error}. It needs the code of "
            "the model's class, as it was, and much the same release of PyTorch."
        ) from error
    if isinstance(model, torch.nn.Module):
        model.eval()
        return model.to(device) if device else model
    return model


def _pickle_module(folder: VerifiedFolder, data: str) -> Any:
    """The module that unpickles; called after the model was found to be trusted."""
    import pickle

    name = f"{data}/{PICKLE_MODULE_FILE}"
    if not folder.has(name):
        return pickle
    wanted = folder.read(name, 1000).decode(errors="replace").strip()
    if wanted in _PLAIN_PICKLES:
        return pickle
    folder.require_trust(name, f"naming the module '{wanted}', which unpickles")
    try:
        return importlib.import_module(wanted)
    except ImportError as error:
        raise InvalidRequest(f"The model was pickled by '{wanted}': {error}.") from error


def _is_script(path: Path) -> bool:
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _program(folder: VerifiedFolder, name: str, device: str | None) -> Any:
    import torch

    from headrace.models.flavors.pytorch_export import UnsafeProgram, checked_program

    place = device or (None if torch.cuda.is_available() else "cpu")
    try:
        source: Any = checked_program(folder.file(name), place)
    except UnsafeProgram as error:
        folder.require_trust(name, f"an exported program that is not plain ({error})")
        source = folder.code_path(name, "an exported program that is not plain")
    try:
        with _quietly():
            program = torch.export.load(source)
            module = program.module()
    # Another release's operators, a file that is none: PyTorch has errors of many kinds for them.
    except Exception as error:
        raise InvalidRequest(
            f"'{name}' cannot be loaded by PyTorch {torch.__version__}: {type(error).__name__}: "
            f"{error}"
        ) from error
    module.exported_program = program
    return module


@contextmanager
def _quietly() -> Iterator[None]:
    """Without PyTorch's warnings of what is deprecated inside of it, TorchScript among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
