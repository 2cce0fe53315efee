"""Predictions as JSON, the way that MLflow's scoring server answers."""

from __future__ import annotations

from typing import Any

from headrace.models.data_kinds import is_pandas_frame, is_pandas_series, is_polars_frame
from headrace.models.json_values import to_json_text


def encode_predictions(predictions: Any, *, is_unwrapped: bool = False) -> str:
    """`{"predictions": …}`, tables as one object for each row; with `is_unwrapped` what is in it
    alone, as language models answer. InvalidRequest where something has no form in JSON.
    """
    plain = as_records(predictions)
    return to_json_text(plain if is_unwrapped else {"predictions": plain})


def as_records(predictions: Any) -> Any:
    """A table as a list with an object for each row; anything else as it is.

    A Series is a table of one column, with the name "0" where it has none, as MLflow has it.
    """
    if is_pandas_series(predictions):
        predictions = predictions.to_frame()
    if is_pandas_frame(predictions):
        names = [str(name) for name in predictions.columns]
        columns = [predictions.iloc[:, place].tolist() for place in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if is_polars_frame(predictions):
        return predictions.to_dicts()
    return predictions
