"""Data made to fit the type hint of a predict function.

What MLflow does for a model whose signature comes from its hints: dictionaries become the pydantic
models that are named, tables become lists; nothing else is cast but what JSON and NumPy cannot say
(whole numbers for floats, texts for times and bytes).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import math
from typing import Any, Final, get_args, get_origin

from headrace.errors import InvalidRequest

_ROOT: Final = "model_input"


def checked_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], place: int, hint: Any, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, with the one at `place` or called `name` made to fit `hint`.

    (Models that MLflow has pickled call this with these arguments.)
    """
    if name in kwargs:
        return args, {**kwargs, name: data_for_hint(kwargs[name], hint)}
    if len(args) > place:
        return (*args[:place], data_for_hint(args[place], hint), *args[place + 1 :]), kwargs
    return args, kwargs


def data_for_hint(data: Any, hint: Any) -> Any:
    """`data` as `hint` says. Raises InvalidRequest, which names the value that does not fit."""
    return _fit(_rows(data, hint), hint, _ROOT)


def _rows(data: Any, hint: Any) -> Any:
    """Tables and arrays as the lists of rows that a hint means."""
    from headrace.models.data_kinds import (
        as_array,
        is_pandas_frame,
        is_pandas_series,
        is_polars_frame,
        is_polars_series,
    )

    if is_polars_frame(data):
        from headrace.models.polars_tables import to_pandas

        data = to_pandas(data)
    if is_polars_series(data):
        return data.to_list()
    if is_pandas_series(data):
        return data.tolist()
    if is_pandas_frame(data):
        return _plain(_rows_of_frame(data, hint))
    array = as_array(data)
    return data if array is None else array.tolist()


def _rows_of_frame(frame: Any, hint: Any) -> Any:
    if get_origin(hint) is not list:
        return frame
    row = get_args(hint)[0]
    if list(frame.columns) != [0] and (_is_table(row) or row is dict or get_origin(row) is dict):
        return frame.to_dict(orient="records")
    if len(frame.columns) != 1:
        raise InvalidRequest(
            f"A table for rows of the type {_show(row)} has one column; this has "
            f"{len(frame.columns)}: {', '.join(map(str, frame.columns))}."
        )
    return frame.iloc[:, 0].tolist()


def _plain(data: Any) -> Any:
    """Values from a table's cells without NumPy's types; what is missing is None."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data


def _fit(data: Any, hint: Any, where: str) -> Any:
    from headrace.models.hint_types import SCALAR_HINTS, is_union

    if hint is Any:
        return data
    if isinstance(hint, type) and hint in SCALAR_HINTS:
        return _scalar(data, hint, where)
    if is_union(hint):
        return _choice(data, hint, where)
    if get_origin(hint) is list:
        if not isinstance(data, list | tuple):
            raise _unfit(data, hint, where)
        row = get_args(hint)[0]
        return [_fit(value, row, f"{where}[{place}]") for place, value in enumerate(data)]
    if get_origin(hint) is dict:
        if not isinstance(data, dict):
            raise _unfit(data, hint, where)
        kind = get_args(hint)[1]
        return {key: _fit(value, kind, f"{where}[{key!r}]") for key, value in data.items()}
    return _record(data, hint, where)


def _scalar(data: Any, hint: Any, where: str) -> Any:
    if hasattr(data, "item") and getattr(data, "shape", None) == ():
        data = data.item()
    if isinstance(data, hint) and not (isinstance(data, bool) and hint in (int, float)):
        return data
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, str) and hint in (dt.datetime, bytes):
        try:
            return dt.datetime.fromisoformat(data) if hint is dt.datetime else _decoded(data)
        except ValueError:
            pass
    raise _unfit(data, hint, where)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error


def _choice(data: Any, hint: Any, where: str) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if (data is None and len(kinds) < len(get_args(hint))) or len(kinds) > 1:
        return data
    return _fit(data, kinds[0], where)


def _record(data: Any, hint: Any, where: str) -> Any:
    from headrace.models.data_kinds import is_pydantic_class

    if isinstance(data, hint):
        return data
    if not isinstance(data, dict):
        raise _unfit(data, hint, where)
    try:
        return hint.model_validate(data) if is_pydantic_class(hint) else hint(**data)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{where} is no {_show(hint)}: {error}") from error


def _is_table(hint: Any) -> bool:
    from headrace.models.data_kinds import is_pydantic_class

    return is_pydantic_class(hint) or dataclasses.is_dataclass(hint)


def _show(hint: Any) -> str:
    from headrace.models.hint_types import show_hint

    return show_hint(hint)


def _unfit(data: Any, hint: Any, where: str) -> InvalidRequest:
    return InvalidRequest(
        f"{where} is of the type {type(data).__name__}, and the type hint of the model's input "
        f"wants {_show(hint)} there."
    )
