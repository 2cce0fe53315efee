"""The model under evaluation: whatever it is, it predicts, and perhaps gives probabilities."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.client.autolog.scope import observing
from headrace.errors import HeadraceError, InvalidRequest
from headrace.evaluation.values import array_of

if TYPE_CHECKING:
    from headrace.evaluation.rows import Rows


@dataclass(frozen=True)
class Subject:
    """A model: how it predicts, what it is called, and the library's own object where there is one.

    `native` has a `predict_proba`, `classes_`, `score`, `feature_importances_`, or none of them.
    """

    name: str
    predict: Callable[[Any], Any]
    native: Any = None
    model_id: str | None = None

    def predictions(self, rows: Rows) -> Any:
        """What the model predicts; InvalidRequest, naming the model, when it fails."""
        return self._call(self.predict, rows, "predict")

    def probabilities(self, rows: Rows) -> Any | None:
        """A column for each of `classes`; None where the model has no probabilities."""
        ask = getattr(self.native, "predict_proba", None)
        if not callable(ask):
            return None
        return self._call(ask, rows, "predict_proba")

    @property
    def classes(self) -> list[Any] | None:
        """The classes that the model knows, in the order of its probabilities."""
        known = getattr(self.native, "classes_", None)
        if known is None or isinstance(known, list | tuple):
            return None
        plain: list[Any] = array_of(known, "classes_").tolist()
        return plain

    def score(self, rows: Rows, weights: Any, known: Mapping[str, float]) -> float | None:
        """What an estimator's own `score` says; None for what is no scikit-learn estimator.

        Where it is scikit-learn's accuracy or R², that is among the metrics `known` already, and
        nothing is predicted again.
        """
        ask = getattr(self.native, "score", None)
        if not callable(ask) or not hasattr(self.native, "get_params"):
            return None
        base: Any = sys.modules.get("sklearn.base")
        own = getattr(type(self.native), "score", None)
        if base is not None and own is base.ClassifierMixin.score:
            return known.get("accuracy_score")
        if base is not None and own is base.RegressorMixin.score:
            return known.get("r2_score")
        extra = {} if weights is None else {"sample_weight": weights}
        with observing():
            return float(ask(rows.features, rows.targets, **extra))

    def _call(self, function: Callable[[Any], Any], rows: Rows, what: str) -> Any:
        try:
            with observing():
                return function(rows.features)
        except HeadraceError:
            raise
        except Exception as error:
            raise InvalidRequest(
                f"{self.name} failed in {what}: {type(error).__name__}: {error}\n"
                f"It was given {len(rows):,} rows, which begin with:\n{_beginning(rows.features)}"
            ) from error


def subject_of(
    model: Any,
    config: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Subject:
    """The model in whatever form: a URI, a PyFuncModel, an estimator, a function. InvalidRequest.

    `config` goes to loading by URI, `params` to each prediction of a PyFuncModel.
    `trust` lets a model by URI run code of somebody else's.
    """
    if isinstance(model, str | os.PathLike):
        return _of_pyfunc(_loaded(os.fspath(model), config, trust), params, os.fspath(model))
    if config:
        raise InvalidRequest("'model_config' goes with a model's URI: expected one as 'model'.")
    if callable(getattr(model, "predict", None)):
        if hasattr(model, "metadata") and hasattr(model, "model_id"):
            return _of_pyfunc(model, params, None)
        _no_params(params)
        return Subject(f"The {type(model).__name__}", model.predict, model)
    if callable(model):
        _no_params(params)
        name = getattr(model, "__name__", type(model).__name__)
        return Subject(f"The function {name!r}", model)
    raise InvalidRequest(
        f"'model' is of type {type(model).__name__}: expected a model's URI, a model with "
        "'predict', a function, or None with 'predictions'."
    )


def _of_pyfunc(model: Any, params: Mapping[str, Any] | None, uri: str | None) -> Subject:
    def predict(features: Any) -> Any:
        return model.predict(features) if params is None else model.predict(features, params=params)

    native = getattr(model, "native", None)
    if native is None and hasattr(model, "get_raw_model"):  # a PyFuncModel of MLflow's own
        native = model.get_raw_model()
    name = f"The model {uri!r}" if uri else f"The model {model.model_id or ''}".rstrip()
    return Subject(name, predict, native, model.model_id)


def _loaded(uri: str, config: Mapping[str, Any] | None, trust: bool) -> Any:
    if uri.startswith(("endpoints:", "apps:")):
        raise InvalidRequest(
            f"The model {uri!r} is an endpoint of Databricks, which Headrace does not call: give "
            "a function that calls it."
        )
    from headrace.client.model_loading import load_pyfunc

    return load_pyfunc(uri, config, trust=trust)


def _no_params(params: Mapping[str, Any] | None) -> None:
    if params:
        raise InvalidRequest(
            "'inference_params' go with a model's URI or a PyFuncModel: give a function that "
            "takes them in."
        )


def _beginning(features: Any) -> str:
    return "\n".join(str(features[:3]).splitlines()[:8])
