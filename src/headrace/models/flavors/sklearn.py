"""scikit-learn's estimators: by skops, which runs nothing on load; pickled when asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

SKOPS_FILE: Final = "model.skops"
PICKLE_FILE: Final = "model.pkl"


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
        """See Flavor. `serialization_format` is "skops" (the default), "cloudpickle", "pickle"."""
        import sklearn
        import skops.io

        data = skops.io.dumps(model)
        (target.folder / SKOPS_FILE).write_bytes(data)
        facts = {
            "pickled_model": SKOPS_FILE,
            "sklearn_version": sklearn.__version__,
            "serialization_format": "skops",
            "skops_trusted_types": sorted(skops.io.get_untrusted_types(data=data)) or None,
        }
        return Saved(
            facts,
            {"model_path": SKOPS_FILE, "predict_fn": pyfunc_predict_fn},
            packages=("scikit-learn", "skops"),
        )

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor."""
        import skops.io

        return skops.io.loads(folder.read(str(facts["pickled_model"])))

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _SklearnPredictor(native, str(facts.get("predict_fn", "predict")))


class _SklearnPredictor(Predictor):
    def __init__(self, estimator: Any, method: str) -> None:
        if method not in ("predict", "predict_proba", "predict_log_proba", "score"):
            raise InvalidRequest(f"'{method}' is no method that predicts.")
        self._method = getattr(estimator, method)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        return self._method(data, **(params or {}))
