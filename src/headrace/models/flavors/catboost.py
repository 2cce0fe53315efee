"""CatBoost's models, in CatBoost's own formats, which run nothing on load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import HeadraceError, InvalidModel, InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.tabular import as_table, known_params

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

FILE: Final = "model.cb"
FORMATS: Final = ("cbm", "json")
"""Those of CatBoost's that it can read again."""
KINDS: Final = ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")


class CatboostFlavor(Flavor):
    """See the module."""

    name = "catboost"
    loader_module = "mlflow.catboost"
    package = "catboost"
    install = "catboost"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return comes_from(model, "catboost")

    def save(
        self,
        model: Any,
        target: Target,
        *,
        format: str = "cbm",  # noqa: A002 - CatBoost's name, which MLflow takes
        export_parameters: dict[str, Any] | None = None,
        pool: Any = None,
    ) -> Saved:
        """See Flavor. The options are those of CatBoost's `save_model`."""
        import catboost

        if format not in FORMATS:
            raise InvalidRequest(
                f"format is {format!r}; CatBoost reads again only: {', '.join(FORMATS)}."
            )
        kind = _base_of(model)
        model.save_model(str(target.folder / FILE), format, export_parameters, pool)
        facts = {
            "catboost_version": catboost.__version__,
            "data": FILE,
            "model_type": kind,
            "save_format": format,
        }
        return Saved(facts, {"data": FILE}, packages=("catboost",))

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor."""
        import catboost

        name, kind = str(facts.get("data") or FILE), facts.get("model_type")
        saved_as = facts.get("save_format") or "cbm"
        if kind not in KINDS or saved_as not in FORMATS:
            raise InvalidModel(
                f"The model in '{folder.path}' says model_type: {kind!r}, save_format: "
                f"{saved_as!r}; expected one of {', '.join(KINDS)}, and of {', '.join(FORMATS)}."
            )
        model = getattr(catboost, kind)()
        try:
            if saved_as == "cbm":
                model.load_model(blob=folder.read(name))
            else:
                model.load_model(str(folder.file(name)), saved_as)
        except HeadraceError:
            raise
        # CatBoost's own error, and those of Python for its texts that are damaged.
        except Exception as error:
            raise InvalidModel(
                f"'{name}' cannot be loaded as a model of CatBoost: {error}."
            ) from error
        return model

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _CatboostPredictor(native)


class _CatboostPredictor(Predictor):
    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. The params are those of `predict` of the library's class."""
        given = known_params(self._model.predict, params, f"{type(self._model).__name__}.predict")
        return self._model.predict(as_table(data), **given)


def _base_of(model: Any) -> str:
    """The class of CatBoost's that loads the model again. InvalidRequest for none."""
    for kind in type(model).__mro__:
        if kind.__name__ in KINDS and kind.__module__.partition(".")[0] == "catboost":
            return kind.__name__
    raise InvalidRequest(
        f"A {type(model).__name__} is no model of CatBoost; expected one of: {', '.join(KINDS)}."
    )
