"""A loaded model that predicts, whatever library made it: `PyFuncModel`, with MLflow's names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.models.flavor import Predictor
from headrace.models.flavors.python_function_predict import LoadedPythonModel, in_form_of
from headrace.models.model import PYFUNC, Model
from headrace.models.trust import VerifiedFolder

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature


class PyFuncModel:
    """A model and its signature. `predict` takes pandas, polars, NumPy, dictionaries and lists."""

    def __init__(
        self,
        metadata: Model,
        predictor: Predictor,
        native: Any,
        folder: VerifiedFolder,
        model_config: Mapping[str, Any],
    ) -> None:
        self.metadata = metadata
        """What the `MLmodel` file says."""
        self.native = native.native if isinstance(native, LoadedPythonModel) else native
        """The object of the model's own library; a PythonModel."""
        self.model_config = dict(model_config)
        """What the model was saved with, and over it what it was loaded with."""
        self._is_python = isinstance(native, LoadedPythonModel)
        self._predictor = predictor
        self._folder = folder

    @property
    def signature(self) -> ModelSignature | None:
        """What goes in and comes out; None where it is not known."""
        return self.metadata.signature

    @property
    def folder(self) -> VerifiedFolder:
        """The model's files, which were checked."""
        return self._folder

    @property
    def model_id(self) -> str | None:
        """The id of the logged model; None for one that was only saved."""
        return self.metadata.model_id

    @property
    def loader_module(self) -> str | None:
        """The module by which MLflow loads it."""
        entry = self.metadata.flavors.get(PYFUNC) or {}
        name = entry.get("loader_module")
        return None if name is None else str(name)

    @property
    def input_example(self) -> Any:
        """The example that was saved with the model, without its params; None without one."""
        info = self.metadata.saved_input_example_info
        if info is None:
            return None
        from headrace.models.examples import load_example

        return load_example(self._folder, info, self.signature)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict for `data`, which is made to fit the signature first.

        `params` that the signature does not name are ignored with a warning. InvalidRequest names
        the column that does not fit, the type found and the type wanted.
        """
        return self.predict_enforced(*self.enforced(data, params))

    def predict_enforced(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict for what `enforced` made, or for what is certain to be as it would make it."""
        return self._predictor.predict(data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Predict piece by piece, where the model can. Otherwise as `predict`."""
        return self._predictor.predict_stream(*self.enforced(data, params))

    def unwrap_python_model(self) -> Any:
        """The PythonModel that was saved. InvalidRequest for a library's model."""
        if not self._is_python:
            raise InvalidRequest(
                "This model is no PythonModel; 'native' is the object of its own library."
            )
        return self.native

    def get_raw_model(self) -> Any:
        """The object of the model's own library."""
        return self.native

    @cached_property
    def _form(self) -> Any:
        return self.input_example

    def enforced(
        self, data: Any, params: Mapping[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, Any] | None]:
        """Data and params as the model's own library takes them: fitted to the signature.

        Raises InvalidRequest as `predict`.
        """
        from headrace.models.enforcement import enforce_input, enforce_params

        signature = self.metadata.signature
        if signature is None:
            return data, params
        if params is not None or signature.params is not None:
            params = enforce_params(params, signature)
        # Where the signature is that of the type hints, the model itself checks and converts.
        if signature.inputs is not None and not self.metadata.is_signature_from_type_hint:
            data = enforce_input(data, signature)
            if self.metadata.type_hint_from_example:
                data = in_form_of(data, self._form)
        return data, params

    def __repr__(self) -> str:
        known = self.metadata
        lines = [
            "headrace.pyfunc.PyFuncModel:",
            f"  flavors: {', '.join(known.flavors)}",
            *([f"  model_id: {known.model_id}"] if known.model_id else []),
            *([f"  run_id: {known.run_id}"] if known.run_id else []),
            *(_indented(f"signature:\n{known.signature!r}") if known.signature else []),
        ]
        return "\n".join(lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PyFuncModel) and self.metadata == other.metadata

    __hash__ = None  # type: ignore[assignment]  # its description can change


def _indented(text: str) -> list[str]:
    first, *others = (line.rstrip() for line in text.splitlines())
    return [f"  {first}", *(f"    {line}" for line in others)]


def add_to_model(
    model: Model,
    loader_module: str,
    data: str | None = None,
    code: str | None = None,
    conda_env: str | None = None,
    python_env: str | None = None,
    model_config: Mapping[str, Any] | None = None,
    model_code_path: str | None = None,
    **kwargs: Any,
) -> Model:
    """Say in a model's description how `python_function` loads it.

    For packages that write model folders by themselves. Paths are relative to the folder; `kwargs`
    are further facts.
    """
    env = {"conda": conda_env, "virtualenv": python_env}
    entry = {
        **kwargs,
        "code": code,
        "data": data,
        "env": {kind: file for kind, file in env.items() if file},
        "config": dict(model_config or {}),
        "model_code_path": model_code_path,
    }
    return model.add_flavor(
        PYFUNC,
        loader_module=loader_module,
        python_version=".".join(str(part) for part in sys.version_info[:3]),
        **{name: value for name, value in entry.items() if value or name in kwargs},
    )
