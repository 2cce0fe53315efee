"""The models of XGBoost and LightGBM: boosters that `train` makes, estimators that `fit` makes."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from headrace.client.autolog import scope
from headrace.client.autolog.by_id import ById
from headrace.client.autolog.library import Library
from headrace.client.autolog.models import copied_rows, log_model
from headrace.client.autolog.recording import Recorder
from headrace.client.autolog.replacement import Around

_rows: Final[ById[Any]] = ById()
"""The first rows that a DMatrix or Dataset was made of: they do not give them back."""


class _Fit:
    """The fit of an estimator that this thread is in; `log` is where its `train` was logged."""

    log: Recorder | None = None


_fit: Final[ContextVar[_Fit | None]] = ContextVar("headrace_fit_of_boosting", default=None)


class NotingRows(Around):
    """Around the constructor of a library's matrix: notes a few rows, while the matrix lives."""

    def __init__(self, library: Library[Any]) -> None:
        self._library = library

    def __call__(self, original: Any, /, *args: Any, **kwargs: Any) -> Any:
        """See Around."""
        result = original(*args, **kwargs)
        # What an estimator makes of its data is not asked for: its own rows are known.
        if _fit.get() is None and self._library.logs_here() and self._library.options.log_models:
            with self._library.guard("the rows of the data"):
                rows = copied_rows(_data(args, kwargs, "data"))
                if rows is not None:
                    _rows.put(args[0], rows)
        return result


class LoggingEstimator(Around):
    """Around the `fit` of an estimator: logs the estimator, to the run of its `train`.

    `options` are the names of the library's options that are the flavor's.
    """

    def __init__(self, library: Library[Any], options: tuple[str, ...] = ()) -> None:
        self._library = library
        self._options = options

    def __call__(self, original: Any, /, *args: Any, **kwargs: Any) -> Any:
        """See Around."""
        library = self._library
        if not library.logs_here():
            return original(*args, **kwargs)
        rows, fit = None, _Fit()
        with library.guard("the rows of the data"):
            rows = copied_rows(_data(args, kwargs, "X"))
        token = _fit.set(fit)
        try:
            result = original(*args, **kwargs)
        finally:
            _fit.reset(token)
        if fit.log is not None:
            with scope.observing():
                options = {name: getattr(library.options, name) for name in self._options}
                log_model(fit.log, library, args[0], library.flavor, data=rows, **options)
        return result


def log_booster(
    log: Recorder, library: Library[Any], booster: Any, trained_on: Any, **options: Any
) -> None:
    """Log what `train` made, unless an estimator called it, which is logged when it is whole."""
    fit = _fit.get()
    if fit is not None:
        fit.log = log
        return
    rows = _rows.get(trained_on)
    with library.guard("the names of the features"):
        rows = _named(rows, getattr(trained_on, "feature_names", None))
    log_model(log, library, booster, library.flavor, data=rows, **options)


def _data(args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
    """The first argument after the object itself."""
    return args[1] if len(args) > 1 else kwargs.get(name)


def _named(rows: Any, names: Any) -> Any:
    """Rows of an array as a table, where its features have names: a booster asks for them."""
    import numpy as np

    if names is None or not isinstance(rows, np.ndarray) or rows.ndim != 2:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=list(names))
