"""Loaded Python models as `pyfunc` asks them to predict."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_args, get_origin

from headrace.errors import InvalidRequest
from headrace.models.flavor import Predictor
from headrace.models.mlflow_names import mlflow_names
from headrace.models.python_model import PythonModel, PythonModelContext, hints_of

_log: Final = logging.getLogger("headrace")


@dataclass(frozen=True)
class LoadedPythonModel:
    """A Python model that was loaded, and the context that it predicts with."""

    native: Any
    """The PythonModel."""
    context: PythonModelContext


class PythonModelPredictor(Predictor):
    """Calls `predict` of a PythonModel with what it takes: context or none, params or none."""

    def __init__(self, loaded: LoadedPythonModel) -> None:
        self._model = loaded.native
        self._context = loaded.context

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        with mlflow_names():
            return self._predict(self._for_hint(data), params)

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """See Predictor."""
        if type(self._model).predict_stream is PythonModel.predict_stream:
            raise InvalidRequest(
                f"{type(self._model).__name__} does not predict piece by piece: it has no "
                "'predict_stream'."
            )
        with mlflow_names():
            yield from self._stream(_one(self._for_hint(data)), params)

    @cached_property
    def _predict(self) -> Callable[..., Any]:
        return _caller(self._model.predict, self._context)

    @cached_property
    def _stream(self) -> Callable[..., Any]:
        return _caller(self._model.predict_stream, self._context)

    @cached_property
    def _hint(self) -> Any:
        return hints_of(getattr(self._model, "func", self._model.predict)).input

    def _for_hint(self, data: Any) -> Any:
        """A table made of texts or dictionaries, as these again: what older models count on."""
        from headrace.models.data_kinds import is_pandas_frame

        if not is_pandas_frame(data) or get_origin(self._hint) is not list:
            return data
        row = get_args(self._hint)[0]
        if row is str:
            texts = [name for name in data.columns if data[name].map(_is_text).all()]
            if not texts:
                raise InvalidRequest("The model takes texts, and no column of the input has any.")
            return data[texts[0]].tolist()
        if get_origin(row) is dict and not _is_unnamed(data):
            return data.to_dict(orient="records")
        return data


class LoaderPredictor(Predictor):
    """Calls what a `loader_module` has made."""

    def __init__(self, native: Any, method: str) -> None:
        found = getattr(native, method, None)
        if not callable(found):
            raise InvalidRequest(f"What the loader module has made has no method '{method}'.")
        self._native = native
        self._method = found

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        with mlflow_names():
            return self._call(self._method, data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """See Predictor."""
        found = getattr(self._native, "predict_stream", None)
        if found is None:
            raise InvalidRequest("This model does not predict piece by piece; call 'predict'.")
        with mlflow_names():
            yield from self._call(found, _one(data), params)

    @staticmethod
    def _call(method: Callable[..., Any], data: Any, params: Mapping[str, Any] | None) -> Any:
        if "params" in inspect.signature(method).parameters:
            return method(data, params=params)
        _warn_of(params)
        return method(data)


def in_form_of(data: Any, example: Any) -> Any:
    """A table in the form that the example has, for models whose hint is TypeFromExample."""
    from headrace.models.data_kinds import is_pandas_frame, is_pandas_series

    if not is_pandas_frame(data) or is_pandas_frame(example):
        return data
    if is_pandas_series(example):
        column = data.iloc[:, 0].copy()
        column.name = example.name
        return column
    if isinstance(example, dict):
        return data.to_dict(orient="records")[0] if len(data) == 1 else data
    if not isinstance(example, list):
        return data.iloc[0, 0] if data.shape == (1, 1) else data
    if len(data.columns) == 1 and not any(isinstance(each, dict | list) for each in example):
        return data.iloc[:, 0].tolist()
    return data.to_dict(orient="records")


def _caller(method: Callable[..., Any], context: Any) -> Callable[..., Any]:
    from headrace.models.type_hints import takes_context

    before = (context,) if takes_context(method) else ()
    if "params" in inspect.signature(method).parameters:
        return lambda data, params: method(*before, data, params=params)

    def call(data: Any, params: Mapping[str, Any] | None) -> Any:
        _warn_of(params)
        return method(*before, data)

    return call


def _warn_of(params: Mapping[str, Any] | None) -> None:
    if params:
        _log.warning(
            "The model's predict takes no params, so these are ignored: %s.", ", ".join(params)
        )


def _one(data: Any) -> Any:
    """The one input of a stream: a table of one row is that row."""
    from headrace.models.data_kinds import is_pandas_frame

    if is_pandas_frame(data):
        rows = data.iloc[:, 0].tolist() if _is_unnamed(data) else data.to_dict("records")
        data = rows
    if isinstance(data, list):
        if len(data) != 1:
            raise InvalidRequest(f"predict_stream takes one input; this has {len(data)}.")
        return data[0]
    return data


def _is_unnamed(frame: Any) -> bool:
    """Whether a table has one column, without a name: the form of a list of values."""
    return [*frame.columns] == [0]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
