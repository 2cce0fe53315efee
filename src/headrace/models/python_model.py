"""What users write who bring their own model: `PythonModel`, its context, and `pyfunc`.

Names, arguments and attributes are MLflow's, so that MLflow can call such a model as its own; see
`python_model_pickle` for how it gets there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints


class TypeHints(NamedTuple):
    """The hints of a predict function: of its input, and of what it returns."""

    input: Any = None
    output: Any = None


class PythonModelContext:
    """What a model is given when it is loaded and when it predicts."""

    def __init__(
        self, artifacts: Mapping[str, str], model_config: Mapping[str, Any] | None
    ) -> None:
        self._artifacts = dict(artifacts)
        self._model_config = model_config

    @property
    def artifacts(self) -> dict[str, str]:
        """The files and folders that were saved with the model: absolute paths by name."""
        return self._artifacts

    @property
    def model_config(self) -> Mapping[str, Any] | None:
        """The model's configuration, with what the caller of load_model gave over it."""
        return self._model_config


def pyfunc(func: Callable[..., Any]) -> Callable[..., Any]:
    """Have a predict function check its input against its type hint, and convert it.

    `func` itself where no hint says a schema. Dictionaries become the pydantic models that are
    named, tables become lists of rows; InvalidRequest says which value does not fit.
    """
    _resolve_hints(func)
    found = _hinted(func)
    if found is None:
        return func
    place, name, hint = found

    @functools.wraps(func)
    def checked(*args: Any, **kwargs: Any) -> Any:
        from headrace.models.python_model_hints import checked_arguments

        args, kwargs = checked_arguments(args, kwargs, place, hint, name)
        return func(*args, **kwargs)

    checked._is_pyfunc = True  # type: ignore[attr-defined]  # MLflow's mark
    return checked


class PythonModel:
    """A model written in Python. Derive from it and write `predict`.

    `predict` is `predict(self, context, model_input, params=None)`, or without `context`. Where its
    input has a type hint that says a schema (`list[str]`, `list[SomePydanticModel]` …), data is
    checked and converted before each call, and the signature is made of the hints.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("predict")
        if inspect.isfunction(own) and cls.__module__ != __name__:
            cls.predict = pyfunc(own)  # type: ignore[method-assign]  # it checks, then calls it

    def load_context(self, context: PythonModelContext) -> None:
        """Prepare to predict, once after loading: open the files that `context` names.

        Never called on the object that is saved.
        """

    if TYPE_CHECKING:
        # Those who derive may leave out context and params, and say what the input is.
        def predict(self, *args: Any, **kwargs: Any) -> Any: ...
        def predict_stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]: ...

    else:

        def predict(
            self, context: Any, model_input: Any, params: Mapping[str, Any] | None = None
        ) -> Any:
            """Predict for `model_input`; `params` hold what the signature names."""
            raise NotImplementedError(f"{type(self).__name__} has no method 'predict'.")

        def predict_stream(
            self, context: Any, model_input: Any, params: Mapping[str, Any] | None = None
        ) -> Iterator[Any]:
            """Predict for one `model_input`, piece by piece."""
            raise NotImplementedError(f"{type(self).__name__} has no method 'predict_stream'.")

    @property
    def predict_type_hints(self) -> TypeHints:
        """The type hints of `predict` (MLflow asks for them)."""
        return hints_of(self.predict)


class FunctionModel(PythonModel):
    """A plain function, or anything else that can be called, as a model."""

    def __init__(self, func: Callable[..., Any], signature: Any = None) -> None:
        self.func = func if getattr(func, "_is_pyfunc", False) else pyfunc(func)
        self.signature = signature  # MLflow's attribute; the MLmodel file says it

    @property
    def predict_type_hints(self) -> TypeHints:
        """See PythonModel."""
        return hints_of(self.func)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Call the function, which takes the input alone."""
        return self.func(model_input)


def hints_of(function: Callable[..., Any]) -> TypeHints:
    """The type hints of a predict function or method."""
    from headrace.models.type_hints import input_hint, output_hint

    return TypeHints(input_hint(function), output_hint(function))


def _resolve_hints(func: Callable[..., Any]) -> None:
    """Have hints that are texts be what they name: a pickle leaves out names that nothing uses."""
    hints = getattr(func, "__annotations__", {})
    if not inspect.isfunction(func) or not any(isinstance(hint, str) for hint in hints.values()):
        return
    with suppress(NameError, TypeError, AttributeError, SyntaxError):
        func.__annotations__ = get_type_hints(func)


def _hinted(func: Callable[..., Any]) -> tuple[int, str, Any] | None:
    """The place, name and hint of the input, where the hint says a schema."""
    from headrace.errors import InvalidRequest
    from headrace.models.type_hints import input_hint, signature_from_type_hints, takes_context

    if not getattr(func, "__annotations__", None):
        return None
    try:
        if signature_from_type_hints(func) is None:
            return None
    except InvalidRequest:
        return None  # saving says what is wrong with it
    names = list(inspect.signature(func).parameters)
    inputs = [name for name in names if name not in ("self", "params")]
    name = inputs[1 if takes_context(func) else 0]
    return names.index(name), name, input_hint(func)
