"""Runs and logged models as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.client.entities import LoggedModel, Run
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run: its facts, and a column for each metric, parameter and tag of any of them.

    Times are UTC; a metric that a run lacks is NaN, a parameter or tag None.
    """
    pandas = _pandas()
    columns: dict[str, Any] = {
        "run_id": [run.info.run_id for run in runs],
        "experiment_id": [run.info.experiment_id for run in runs],
        "status": [str(run.info.status) for run in runs],
        "artifact_uri": [run.info.artifact_uri for run in runs],
        "start_time": pandas.to_datetime(
            [run.info.start_time for run in runs], unit="ms", utc=True
        ),
        "end_time": pandas.to_datetime([run.info.end_time for run in runs], unit="ms", utc=True),
    }
    for kind, missing in (("metrics", float("nan")), ("params", None), ("tags", None)):
        held = [getattr(run.data, kind) for run in runs]
        # In the order of first appearance, so that equal searches give equal frames.
        for key in dict.fromkeys(key for values in held for key in values):
            columns[f"{kind}.{key}"] = [values.get(key, missing) for values in held]
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def logged_models_frame(models: Sequence[LoggedModel]) -> pd.DataFrame:
    """One row a logged model, a column for each of its attributes."""
    names = [
        *("model_id", "experiment_id", "name", "artifact_location", "creation_timestamp"),
        *("last_updated_timestamp", "model_type", "source_run_id", "status", "status_message"),
        *("tags", "params", "metrics"),
    ]
    columns = {name: [getattr(model, name) for model in models] for name in names}
    frame: pd.DataFrame = _pandas().DataFrame(columns)
    return frame


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise InvalidRequest(
            "output_format='pandas' needs pandas, which is not installed: pip install pandas, or "
            "say output_format='list'."
        ) from None
    return pd
