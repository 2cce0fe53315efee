"""XGBoost's boosters and estimators, in XGBoost's own formats, which run nothing on load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.tabular import as_table, class_named, known_params

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

FORMATS: Final = ("ubj", "json", "xgb")
BOOSTER: Final = "xgboost.core.Booster"
CLASSES: Final = {
    BOOSTER: "Booster",
    **{
        f"xgboost.sklearn.{name}": name
        for name in (
            *("XGBClassifier", "XGBModel", "XGBRanker", "XGBRegressor"),
            *("XGBRFClassifier", "XGBRFRegressor"),
        )
    },
}
"""What `model_class` may say, and the name in `xgboost`."""


class XgboostFlavor(Flavor):
    """See the module."""

    name = "xgboost"
    loader_module = "mlflow.xgboost"
    package = "xgboost"
    install = "xgboost"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return comes_from(model, "xgboost")

    def save(self, model: Any, target: Target, *, model_format: str = "ubj") -> Saved:
        """See Flavor. `model_format` is "ubj" (the default), "json", or the older name "xgb"."""
        import xgboost

        if model_format not in FORMATS:
            raise InvalidRequest(
                f"model_format is {model_format!r}; expected one of: {', '.join(FORMATS)}."
            )
        file = f"model.{model_format}"
        model.save_model(str(target.folder / file))
        kind = type(model)
        facts = {
            "xgb_version": xgboost.__version__,
            "data": file,
            "model_class": f"{kind.__module__}.{kind.__qualname__}",
            "model_format": model_format,
        }
        packages = ("xgboost",) if isinstance(model, xgboost.Booster) else ("xgboost", *_SKLEARN)
        return Saved(facts, {"data": file}, packages=packages, modules=frozenset({kind.__module__}))

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor. Without `model_class` it is a booster, as MLflow wrote once."""
        name = str(facts.get("data") or "model.xgb")
        model = class_named(folder, facts.get("model_class") or BOOSTER, "xgboost", CLASSES)()
        data = folder.read(name)
        _check(folder, name, data)
        try:
            model.load_model(bytearray(data))
        # XGBoost's own errors are of its own class, which is not imported here; JSON's are others.
        except Exception as error:
            raise InvalidModel(
                f"'{name}' cannot be loaded as a model of XGBoost: {_first_line(error)}"
            ) from error
        return model

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _XgboostPredictor(native)


def _check(folder: VerifiedFolder, name: str, data: bytes) -> None:
    """Raise InvalidModel for what would end the process, or might and nobody trusted has signed."""
    import xgboost

    from headrace.models.flavors.xgboost_check import check_model
    from headrace.models.flavors.xgboost_fields import NotChecked

    if not data:  # which XGBoost ends the process for, whoever signed it
        raise InvalidModel(f"'{name}' is empty; it should be a model of XGBoost.")
    try:
        check_model(data, xgboost.__version__)
    except NotChecked as error:
        if not folder.is_trusted:
            raise InvalidModel(
                f"'{name}' cannot be checked as a model of XGBoost: {error}. Save it again with a "
                "newer or older XGBoost; or, if you know who made it, load it with trust=True."
            ) from error
    except ValueError as error:
        raise InvalidModel(f"'{name}' is no model that XGBoost can load: {error}.") from error


_SKLEARN: Final = ("scikit-learn",)


class _XgboostPredictor(Predictor):
    def __init__(self, model: Any) -> None:
        import xgboost

        self._model = model
        self._is_booster = isinstance(model, xgboost.Booster)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. The params are those of `predict` of the library's class."""
        import xgboost

        table = as_table(data)
        given = known_params(self._model.predict, params, f"{type(self._model).__name__}.predict")
        if self._is_booster:
            table = xgboost.DMatrix(table, enable_categorical=True)
        return self._model.predict(table, **given)


def _first_line(error: Exception) -> str:
    """What happened, without the frames in C++ that XGBoost writes below it."""
    text = str(error).strip().split("\n\n")[0]
    return text or type(error).__name__
