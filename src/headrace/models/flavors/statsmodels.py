"""statsmodels' results, which have no form but a pickle: signed, and loaded where trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.environment import modules_in_pickle
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.tabular import as_table, known_params

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

FILE: Final = "model.statsmodels"


class StatsmodelsFlavor(Flavor):
    """See the module."""

    name = "statsmodels"
    loader_module = "mlflow.statsmodels"
    package = "statsmodels"
    install = "statsmodels"

    def handles(self, model: Any) -> bool:
        """See Flavor. Results of a fit; a model that is not fitted cannot predict."""
        return comes_from(model, "statsmodels") and hasattr(model, "remove_data")

    def save(self, model: Any, target: Target, *, remove_data: bool = False) -> Saved:
        """See Flavor. With `remove_data` the data it was fitted on is left out, as far as
        statsmodels can do without it; the object itself loses it too.
        """
        import statsmodels

        if not hasattr(model, "save"):
            raise InvalidRequest(
                f"A {type(model).__name__} is no result of statsmodels; give what 'fit' returned."
            )
        place = target.folder / FILE
        model.save(str(place), remove_data)
        modules = frozenset(modules_in_pickle(place.read_bytes()))
        facts = {"statsmodels_version": statsmodels.__version__, "data": FILE}
        return Saved(
            facts,
            {"data": FILE},
            packages=("statsmodels",),
            modules=modules,
            pickled=(FILE,),
        )

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor."""
        from headrace.models.flavors.sklearn_files import unpickled

        name = str(facts.get("data") or FILE)
        return unpickled(folder.code(name, "a pickle, the only form that statsmodels has"), name)

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _StatsmodelsPredictor(native)


class _StatsmodelsPredictor(Predictor):
    def __init__(self, results: Any) -> None:
        from statsmodels.tsa.base.tsa_model import TimeSeriesModel

        self._results = results
        self._is_series = isinstance(getattr(results, "model", None), TimeSeriesModel)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. A time series takes one row with the columns `start` and `end`."""
        table = as_table(data)
        given = known_params(self._results.predict, params, "predict")
        if not self._is_series:
            return self._results.predict(table, **given)
        names = list(getattr(table, "columns", ()))
        if len(table) != 1 or not {"start", "end"} <= set(names):
            raise InvalidRequest(
                f"A time series is predicted from one row with the columns start and end; this "
                f"has {len(table)} rows and the columns: {', '.join(map(str, names)) or 'none'}."
            )
        row = table.iloc[0]
        return self._results.predict(start=row["start"], end=row["end"], **given)
