"""LightGBM's boosters, as LightGBM's own text, and its estimators, by skops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.tabular import as_table, known_params

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

BOOSTER: Final = "lightgbm.basic.Booster"
BOOSTER_FILE: Final = "model.lgb"


class LightgbmFlavor(Flavor):
    """See the module."""

    name = "lightgbm"
    loader_module = "mlflow.lightgbm"
    package = "lightgbm"
    install = "lightgbm"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return comes_from(model, "lightgbm")

    def save(
        self,
        model: Any,
        target: Target,
        *,
        serialization_format: str | None = None,
        skops_trusted_types: list[str] | None = None,
    ) -> Saved:
        """See Flavor. The options are for estimators; see the flavor `sklearn`."""
        import lightgbm

        from headrace.models.flavors.sklearn_files import write_estimator

        kind = type(model)
        facts: dict[str, Any] = {
            "lgb_version": lightgbm.__version__,
            "model_class": f"{kind.__module__}.{kind.__qualname__}",
        }
        if isinstance(model, lightgbm.Booster):
            model.save_model(str(target.folder / BOOSTER_FILE))
            facts |= {"data": BOOSTER_FILE, "serialization_format": None}
            facts["skops_trusted_types"] = None
            return Saved(facts, {"data": BOOSTER_FILE}, packages=("lightgbm",))
        file = write_estimator(model, target, serialization_format, skops_trusted_types)
        facts |= {"data": file.name, "serialization_format": file.format}
        facts["skops_trusted_types"] = file.trusted_types
        return Saved(
            facts,
            {"data": file.name},
            packages=("lightgbm", "scikit-learn", *file.packages),
            modules=file.modules,
            pickled=file.pickled,
        )

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor. Without `serialization_format` an estimator is a pickle, as MLflow wrote."""
        from headrace.models.flavors.sklearn_files import CLOUDPICKLE, read_estimator

        name = facts.get("data") or BOOSTER_FILE
        if facts.get("model_class", BOOSTER) != BOOSTER:
            return read_estimator(folder, name, facts.get("serialization_format") or CLOUDPICKLE)
        import lightgbm

        from headrace.models.flavors.lightgbm_text import check_text

        data = folder.read(str(name))
        try:
            text = data.decode()
            check_text(text)
            return lightgbm.Booster(model_str=text)
        except (ValueError, lightgbm.basic.LightGBMError) as error:
            raise InvalidModel(
                f"'{name}' cannot be loaded as a booster of LightGBM: {error}."
            ) from error

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _LightgbmPredictor(native)


class _LightgbmPredictor(Predictor):
    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. The params are those of `predict` of the library's class."""
        given = known_params(self._model.predict, params, f"{type(self._model).__name__}.predict")
        return self._model.predict(as_table(data), **given)
