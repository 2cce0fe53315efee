"""The fluent API: the points of metrics, of one run or many, as arrays or tables for plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from headrace.client.client import Client, current_client
from headrace.client.frames import (
    check_output_format,
    numpy_library,
    pandas_library,
    polars_library,
)
from headrace.protocol.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl


@overload
def get_metric_history(
    run_id: str | Sequence[str],
    key: str | Sequence[str] | None = ...,
    output_format: Literal["list"] = ...,
) -> list[Metric]: ...


@overload
def get_metric_history(
    run_id: str | Sequence[str],
    key: str | Sequence[str] | None = ...,
    *,
    output_format: Literal["numpy"],
) -> dict[str, np.ndarray[Any, Any]]: ...


@overload
def get_metric_history(
    run_id: str | Sequence[str],
    key: str | Sequence[str] | None = ...,
    *,
    output_format: Literal["pandas"],
) -> pd.DataFrame: ...


@overload
def get_metric_history(
    run_id: str | Sequence[str],
    key: str | Sequence[str] | None = ...,
    *,
    output_format: Literal["polars"],
) -> pl.DataFrame: ...


def get_metric_history(
    run_id: str | Sequence[str],
    key: str | Sequence[str] | None = None,
    output_format: str = "list",
) -> list[Metric] | dict[str, np.ndarray[Any, Any]] | pd.DataFrame | pl.DataFrame:
    """Every point of a metric of a run; or of several metrics (all, for None), of several runs.

    Run by run and metric by metric in the order given, each by time, step and value. As a "list"
    of `Metric`, each with its `run_id`; as a DataFrame of "pandas" or "polars"; or as a "numpy"
    array for each column. The columns are `run_id`, `key`, `step`, `timestamp` (UTC) and `value`.
    A metric that a run lacks has no points. NotFound for a run that is not there.
    """
    check_output_format(output_format, ("list", "numpy", "pandas", "polars"))
    client = current_client()
    wanted = [key] if isinstance(key, str) else key
    points: list[Metric] = []
    for run in [run_id] if isinstance(run_id, str) else run_id:
        for name in _keys_of(client, run) if wanted is None else wanted:
            points += _of_run(client.get_metric_history(run, name), run)
    if output_format == "list":
        return points
    return _MAKERS[output_format](points)


def _keys_of(client: Client, run_id: str) -> list[str]:
    return sorted(client.get_run(run_id).data.metrics)


def _of_run(points: Sequence[Metric], run_id: str) -> list[Metric]:
    return [msgspec.structs.replace(point, run_id=run_id) for point in points]


def _arrays(points: Sequence[Metric]) -> dict[str, np.ndarray[Any, Any]]:
    numpy = numpy_library()
    return {
        "run_id": numpy.array([point.run_id for point in points], dtype=object),
        "key": numpy.array([point.key for point in points], dtype=object),
        "step": numpy.array([point.step for point in points], dtype=numpy.int64),
        "timestamp": numpy.array([point.timestamp for point in points], dtype="datetime64[ms]"),
        "value": numpy.array([point.value for point in points], dtype=numpy.float64),
    }


def _pandas_frame(points: Sequence[Metric]) -> pd.DataFrame:
    pandas = pandas_library()
    columns = {name: pandas.Series(array) for name, array in _arrays(points).items()}
    columns["timestamp"] = columns["timestamp"].dt.tz_localize("UTC")
    for name in ("run_id", "key"):
        columns[name] = columns[name].astype(str)
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def _polars_frame(points: Sequence[Metric]) -> pl.DataFrame:
    polars = polars_library()
    frame: pl.DataFrame = polars.DataFrame(
        {
            name: [getattr(point, name) for point in points]
            for name in ("run_id", "key", "step", "timestamp", "value")
        },
        schema={
            "run_id": polars.String,
            "key": polars.String,
            "step": polars.Int64,
            "timestamp": polars.Datetime("ms", "UTC"),
            "value": polars.Float64,
        },
    )
    return frame


_MAKERS = {"numpy": _arrays, "pandas": _pandas_frame, "polars": _polars_frame}
