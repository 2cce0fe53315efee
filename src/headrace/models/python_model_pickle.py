"""A Python model as a cloudpickle that loads here and in MLflow, without the other one there.

Classes that users' models derive from are written by MLflow's names, through one call of the
standard library (`pkgutil.resolve_name("mlflow.pyfunc.model:PythonModel")`): MLflow finds its own
class, and here that call is answered with ours.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import pkgutil
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headrace.errors import HeadraceError, InvalidRequest
from headrace.models.mlflow_names import is_mlflow_installed, mlflow_names
from headrace.models.model_config import ModelConfig
from headrace.models.python_model import FunctionModel, PythonModel, PythonModelContext, pyfunc

if TYPE_CHECKING:
    import cloudpickle

_NAMES: Final[dict[Any, str]] = {
    PythonModel: "mlflow.pyfunc.model:PythonModel",
    PythonModelContext: "mlflow.pyfunc.model:PythonModelContext",
    FunctionModel: "mlflow.pyfunc.model:_FunctionPythonModel",
    ModelConfig: "mlflow.models.model_config:ModelConfig",
    pyfunc: "mlflow.pyfunc.utils:pyfunc",
    HeadraceError: "mlflow.exceptions:MlflowException",
}
_OURS: Final = {name: value for value, name in _NAMES.items()}
WRITTEN_NAMES: Final = frozenset(_OURS)
"""Names of MLflow's in pickles that are written here, which need no MLflow to be loaded here."""
_COMPRESSIONS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "lzma": lzma.decompress,
    "bzip2": bz2.decompress,
    "gzip": gzip.decompress,
}
_FORGOTTEN: Final = ("mlflow.types.", "mlflow.models.signature")


class FuncInfo(NamedTuple):
    """What MLflow's pickles say of a checked function: the hint and the name of its input."""

    input_type_hint: Any
    input_param_name: str


class Forgotten:
    """Stands for an object of MLflow's in its pickles that nothing here asks for."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Forgotten:
        """Made of anything."""
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def dump_model(model: PythonModel) -> bytes:
    """The pickle of a model. InvalidRequest where something in it cannot be pickled."""
    buffer = io.BytesIO()
    try:
        _pickler()(buffer).dump(model)
    # Any class may fail in its own way to be pickled.
    except Exception as error:
        raise InvalidRequest(
            f"The model cannot be pickled: {type(error).__name__}: {error}. What cannot be pickled "
            "is made in 'load_context', not before; or save the model as code, by the path of a "
            "script that calls headrace.models.set_model."
        ) from error
    return buffer.getvalue()


def load_model(data: bytes, compression: str | None = None) -> Any:
    """The model of a pickle. This runs what the pickle says: ask for trust before.

    InvalidRequest where it is none, or needs something that is not there.
    """
    if compression is not None and compression not in _COMPRESSIONS:
        raise InvalidRequest(
            f"The model is compressed by {compression!r}; known are: {', '.join(_COMPRESSIONS)}."
        )
    try:
        plain = _COMPRESSIONS[compression](data) if compression else data
        with mlflow_names():
            return _Unpickler(io.BytesIO(plain)).load()
    except ModuleNotFoundError as error:
        raise InvalidRequest(_missing(error)) from error
    except HeadraceError:
        raise
    # Whatever the pickle runs may fail in its own way.
    except Exception as error:
        raise InvalidRequest(
            f"The model cannot be unpickled: {type(error).__name__}: {error}"
        ) from error


def _missing(error: ModuleNotFoundError) -> str:
    name = error.name or ""
    if name.partition(".")[0] == "mlflow":
        return (
            f"The model was made with {name}, which Headrace has no part for; it can be loaded "
            "where MLflow is installed: pip install mlflow"
        )
    return (
        f"The model needs the module '{name}', which is not there. Its requirements.txt lists the "
        "packages that it needs; a module of your own goes with the model by code_paths."
    )


def _pickler() -> type[cloudpickle.Pickler]:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        """Writes the names that MLflow knows."""

        def reducer_override(self, obj: Any) -> Any:
            """See pickle: how one object is written."""
            if isinstance(obj, type | FunctionType) and obj in _NAMES:
                return pkgutil.resolve_name, (_NAMES[obj],)
            reduced = super().reducer_override(obj)
            if isinstance(obj, FunctionType) and reduced is not NotImplemented:
                inner = getattr(obj, "__wrapped__", None)
                if inner is not None and obj.__code__ is _CHECKED:
                    return pyfunc, (inner,)
            return reduced

    return Pickler


def _code_of_checked() -> Any:
    def sample(model_input: list[str]) -> None:
        pass

    return pyfunc(sample).__code__


_CHECKED: Final = _code_of_checked()
"""By this code the functions that `pyfunc` has made are known; MLflow makes its own of them."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        """See pickle: where a name leads."""
        if (module_name, global_name) == ("pkgutil", "resolve_name"):
            return _resolve
        if module_name.startswith(_FORGOTTEN) and not is_mlflow_installed():
            return Forgotten
        return super().find_class(module_name, global_name)


def _resolve(name: str) -> Any:
    ours = _OURS.get(name)
    return pkgutil.resolve_name(name) if ours is None else ours
