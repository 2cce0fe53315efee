"""From whatever a model gives back to one column, or a column for each class."""

from __future__ import annotations

from typing import Any

from headrace.errors import InvalidRequest
from headrace.evaluation.rows import is_frame


def single_output(given: Any, name: str | None, model: str, rows: int) -> Any:
    """The column of predictions in what a model gave, or all columns where none is named.

    `name` picks a column of a table, or an entry of a dictionary or of a list of dictionaries.
    InvalidRequest, naming the model.
    """
    if isinstance(given, list) and given and isinstance(given[0], dict):
        keys = list(given[0])
        chosen = _chosen(keys, name, model)
        given = [entry.get(chosen) for entry in given]
    elif isinstance(given, dict):
        given = given[_chosen(list(given), name, model)]
    elif is_frame(given):
        if name is not None or len(given.columns) == 1:
            given = given[_chosen(list(given.columns), name, model)]
    elif given is None:
        raise InvalidRequest(f"{model} gave None: expected a prediction for each row.")
    try:
        count = len(given)
    except TypeError:
        raise InvalidRequest(
            f"{model} gave a {type(given).__name__}: expected a prediction for each row."
        ) from None
    if count != rows:
        raise InvalidRequest(
            f"{model} gave {count:,} predictions for {rows:,} rows: expected one for each."
        )
    return given


def _chosen(keys: list[Any], name: str | None, model: str) -> Any:
    if name in keys:
        return name
    if len(keys) == 1:
        return keys[0]
    shown = ", ".join(repr(key) for key in keys[:20])
    if name is None:
        raise InvalidRequest(
            f"{model} gives several outputs ({shown}): name the one to judge as 'predictions'."
        )
    raise InvalidRequest(f"{model} gives no output {name!r}. There are: {shown}.")
