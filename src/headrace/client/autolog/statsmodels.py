"""Autologging of statsmodels: what `fit` is told, and what its results say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Generator
from contextlib import suppress
from numbers import Number
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog import scope
from headrace.client.autolog.classes import methods_of, observe_subclasses
from headrace.client.autolog.datasets import dataset_of
from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.models import first_rows, log_model
from headrace.client.autolog.patching import Call, patch

FITS: Final = ("fit", "fit_regularized")
METRICS: Final = (
    *("aic", "bic", "centered_tss", "condition_number", "df_model", "df_resid", "ess"),
    *("f_pvalue", "fvalue", "llf", "mse_model", "mse_resid", "mse_total", "rsquared"),
    *("rsquared_adj", "scale", "ssr", "uncentered_tss"),
)
"""Attributes of results that are metrics, as for MLflow; a model has some of them."""
SUMMARY_FILE: Final = "model_summary.txt"


def autolog(
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have every `fit` of a statsmodels model log itself; `disable` takes it back.

    The results are logged as a model, which is a pickle: statsmodels has no other form.
    """
    LIBRARY.switch(Options(**locals()))


def _observe_classes(base: ModuleType) -> None:
    observe_subclasses(LIBRARY, base.Model, _observe_class)


def _observe_class(model: type) -> None:
    for owner, name in methods_of(model, FITS):
        patch(LIBRARY, owner, name, _fit, when=_is_users)


LIBRARY: Final = Library(
    "statsmodels",
    {"statsmodels.base.model": _observe_classes},
    Options(),
    versions=("0.14", "0.16"),
)


def _is_users(_call: Call) -> bool:
    """Not a regression that a test of statsmodels, such as `adfuller`, makes on the way."""
    return not scope.called_from("statsmodels")


def _fit(call: Call) -> Generator[None, Any, None]:
    model, log = call.instance, call.log
    with LIBRARY.guard("the parameters of a fit"):
        log.params(_params_of(call))
    kind = type(model)
    log.tags(
        {"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__name__}"}
    )
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the training data as a data set"):
            dataset = dataset_of(getattr(model, "exog", None), getattr(model, "endog", None))
            if dataset is not None:
                log.dataset(dataset, "train")
    results = yield
    found: dict[str, Any] = {}
    for name in METRICS:
        with LIBRARY.guard(f"the metric {name}"):
            value = getattr(results, name, None)
            if isinstance(value, Number) and not isinstance(value, bool | complex):
                found[name] = value
    log.metrics(found)
    rows = None
    with LIBRARY.guard("what the model takes"):
        rows = _rows_of(model)
    log_model(log, LIBRARY, results, "statsmodels", data=rows)
    if hasattr(results, "summary"):
        # Results of fit_regularized have the method, and no summary.
        with LIBRARY.guard("the summary"), suppress(NotImplementedError):
            log.text(results.summary().as_text(), SUMMARY_FILE)


def _params_of(call: Call) -> dict[str, Any]:
    """What `fit` was given, the defaults of all else, and the formula, where there is one."""
    params = {
        name: parameter.default
        for name, parameter in inspect.signature(call.function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    params.update(call.arguments)
    formula = getattr(call.instance, "formula", None)
    return params if formula is None else {**params, "formula": formula}


def _rows_of(model: Any) -> Any:
    """A few rows of what the results predict from; None of a time series, which takes no rows.

    Of a formula the columns that stand right of its `~`, else the exogenous variables as given.
    """
    if type(model).__module__.startswith("statsmodels.tsa"):
        return None
    formula, data = getattr(model, "formula", None), getattr(model, "data", None)
    if not isinstance(formula, str):
        return first_rows(getattr(data, "orig_exog", None))
    table: Any = getattr(data, "frame", None)
    if not hasattr(table, "columns"):
        return None
    _, _, right = formula.partition("~")
    named = [name for name in table.columns if re.search(rf"\b{re.escape(str(name))}\b", right)]
    return first_rows(table[named]) if named else None
