"""scikit-learn's estimators: by skops, which runs nothing on load; pickled when asked to be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.tabular import as_table, known_params

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_log: Final = logging.getLogger("headrace")
METHODS: Final = (
    *("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score"),
)
"""What `pyfunc` may call, as in MLflow."""


class SklearnFlavor(Flavor):
    """See the module."""

    name = "sklearn"
    loader_module = "mlflow.sklearn"
    package = "sklearn"
    install = "scikit-learn"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return comes_from(model, "sklearn")

    def save(
        self,
        model: Any,
        target: Target,
        *,
        serialization_format: str | None = None,
        skops_trusted_types: list[str] | None = None,
        pyfunc_predict_fn: str = "predict",
    ) -> Saved:
        """See Flavor. `serialization_format` is "skops", "cloudpickle" or "pickle".

        By default it is skops, or cloudpickle for what skops cannot hold: a function of the
        program itself, a class that is defined in it. `skops_trusted_types` are added to those
        that MLflow is told to trust; here they make nothing trusted.
        """
        import sklearn

        from headrace.models.flavors.sklearn_files import write_estimator

        _check_method(pyfunc_predict_fn)
        _check_object(model)
        file = write_estimator(model, target, serialization_format, skops_trusted_types)
        facts = {
            "pickled_model": file.name,
            "sklearn_version": sklearn.__version__,
            "serialization_format": file.format,
            "skops_trusted_types": file.trusted_types,
        }
        pyfunc = None
        if hasattr(model, pyfunc_predict_fn):
            pyfunc = {"model_path": file.name, "predict_fn": pyfunc_predict_fn}
        else:
            _log.warning(
                "This %s has no method '%s', so it is saved without the flavor python_function.",
                type(model).__name__,
                pyfunc_predict_fn,
            )
        return Saved(
            facts,
            pyfunc,
            packages=("scikit-learn", *file.packages),
            modules=file.modules,
            pickled=file.pickled,
        )

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor. Without `serialization_format` it is a pickle, as MLflow wrote once."""
        from headrace.models.flavors.sklearn_files import PICKLE, read_estimator

        name = facts.get("pickled_model", facts.get("model_path"))
        return read_estimator(folder, name, facts.get("serialization_format", PICKLE))

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return SklearnPredictor(native, facts.get("predict_fn", "predict"))


class SklearnPredictor(Predictor):
    """Calls one method of an estimator. InvalidRequest for one that it has not."""

    def __init__(self, estimator: Any, method: Any) -> None:
        _check_method(method)
        found = getattr(estimator, method, None)
        if found is None:
            raise InvalidRequest(f"This {type(estimator).__name__} has no method '{method}'.")
        self._method = found
        self._name = f"{type(estimator).__name__}.{method}"

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        return self._method(as_table(data), **known_params(self._method, params, self._name))


def _check_object(model: Any) -> None:
    """Raise InvalidRequest for what is certainly no estimator, though it could be saved."""
    if isinstance(model, type):
        raise InvalidRequest(
            f"The model is the class {model.__name__}; expected an object of it, fitted."
        )
    if model is None or isinstance(model, str | bytes | Path):
        raise InvalidRequest(f"The model is a {type(model).__name__}; expected an estimator.")


def _check_method(name: Any) -> None:
    if name not in METHODS:
        raise InvalidRequest(
            f"pyfunc_predict_fn is {name!r}; expected one of: {', '.join(METHODS)}."
        )
