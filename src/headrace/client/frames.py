"""Runs, logged models and metric points as pandas or polars DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.client.entities import LoggedModel, Run
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_TEXTS = ("run_id", "experiment_id", "status", "artifact_uri")
_TIMES = ("start_time", "end_time")
_LOGGED_MODEL_COLUMNS = (
    *("artifact_location", "creation_timestamp", "experiment_id", "last_updated_timestamp"),
    *("metrics", "model_id", "model_type", "name", "params", "source_run_id", "status"),
    *("status_message", "tags"),
)


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: its facts, and a column for each metric, parameter and tag of any of them.

    Times are UTC; a metric that a run lacks is NaN, a parameter, tag or time that it lacks is
    missing.
    """
    pandas = pandas_library()
    columns: dict[str, Any] = {name: _facts(runs, name) for name in _TEXTS}
    # Of the resolution that pandas itself gives to one time in milliseconds, as MLflow's frames
    # have it: nanoseconds up to pandas 2, microseconds from pandas 3 on.
    unit = pandas.to_datetime(0, unit="ms", utc=True).unit
    for name in _TIMES:
        times = pandas.to_datetime(_facts(runs, name), unit="ms", utc=True)
        columns[name] = times.as_unit(unit)
    columns |= _measured(runs, missing=float("nan")) | _texts(runs)
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def runs_polars(runs: Sequence[Run]) -> pl.DataFrame:
    """As `runs_frame`, for polars: what a run lacks is null, and NaN is a value."""
    polars = polars_library()
    measured, texts = _measured(runs, missing=None), _texts(runs)
    facts = {name: _facts(runs, name) for name in (*_TEXTS, *_TIMES)}
    schema = {
        **dict.fromkeys(_TEXTS, polars.String),
        **dict.fromkeys(_TIMES, polars.Datetime("ms", "UTC")),
        **dict.fromkeys(measured, polars.Float64),
        **dict.fromkeys(texts, polars.String),
    }
    frame: pl.DataFrame = polars.DataFrame(facts | measured | texts, schema=schema)
    return frame


def _facts(runs: Sequence[Run], name: str) -> list[Any]:
    values = [getattr(run.info, name) for run in runs]
    return [str(value) for value in values] if name in _TEXTS else values


def _measured(runs: Sequence[Run], missing: float | None) -> dict[str, list[float | None]]:
    held = [run.data.metrics for run in runs]
    return {f"metrics.{key}": [values.get(key, missing) for values in held] for key in _keys(held)}


def _texts(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    columns: dict[str, list[str | None]] = {}
    for kind in ("params", "tags"):
        held = [getattr(run.data, kind) for run in runs]
        columns |= {f"{kind}.{key}": [values.get(key) for values in held] for key in _keys(held)}
    return columns


def _keys(held: Sequence[dict[str, Any]]) -> list[str]:
    """Every key, in the order of first appearance: equal searches give equal frames."""
    return list(dict.fromkeys(key for values in held for key in values))


def logged_models_frame(models: Sequence[LoggedModel]) -> pd.DataFrame:
    """One row a logged model, a column for each of its attributes."""
    columns: dict[str, list[Any]] = {
        name: [getattr(model, name) for model in models] for name in _LOGGED_MODEL_COLUMNS
    }
    columns["status"] = [str(status) for status in columns["status"]]
    frame: pd.DataFrame = pandas_library().DataFrame(columns)
    return frame


def pandas_library() -> Any:
    """The module pandas. Raises InvalidRequest, with what to do, where it is not installed."""
    try:
        import pandas as pd
    except ImportError:
        raise _not_installed("pandas") from None
    return pd


def polars_library() -> Any:
    """The module polars. Raises InvalidRequest, with what to do, where it is not installed."""
    try:
        import polars as pl
    except ImportError:
        raise _not_installed("polars") from None
    return pl


def numpy_library() -> Any:
    """The module numpy. Raises InvalidRequest, with what to do, where it is not installed."""
    try:
        import numpy as np
    except ImportError:
        raise _not_installed("numpy") from None
    return np


def _not_installed(library: str) -> InvalidRequest:
    return InvalidRequest(
        f"output_format='{library}' needs {library}, which is not installed: pip install "
        f"{library}, or say output_format='list'."
    )


def check_output_format(given: str, known: Sequence[str]) -> None:
    """Raise InvalidRequest, before anything is asked for, for a format that is not `known`."""
    if given not in known:
        names = ", ".join(f"'{name}'" for name in known)
        raise InvalidRequest(
            f"Invalid value {given!r} for 'output_format': expected one of {names}."
        )
