"""Predictions as the body of an answer: the text of `models.predictions`, made fast where it can.

Most models answer with an array of numbers, which the standard library writes as it is.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from headrace.models.data_kinds import is_array
from headrace.models.predictions import encode_predictions

_PLAIN: Final = frozenset({str, int, bool})
_RELATIVE: Final = 1e-4
_ABSOLUTE: Final = 1e-6
"""How far apart numbers may lie that were only rounded otherwise."""


def encoded(predictions: Any, *, is_unwrapped: bool = False) -> bytes:
    """What `encode_predictions` gives, as bytes. Raises InvalidRequest as it does."""
    plain = _plain(predictions)
    if plain is None:
        return encode_predictions(predictions, is_unwrapped=is_unwrapped).encode()
    return json.dumps(plain if is_unwrapped else {"predictions": plain}).encode()


def _plain(predictions: Any) -> list[Any] | None:
    """The values, where JSON writes them as they are."""
    if is_array(predictions) and predictions.ndim:
        kind = predictions.dtype.kind
        if kind in "iub" or (kind == "f" and _is_finite(predictions)):
            found: list[Any] = predictions.tolist()
            return found
    elif type(predictions) is list and set(map(type, predictions)) <= _PLAIN:
        return predictions
    return None


def _is_finite(numbers: Any) -> bool:
    import numpy as np

    return numbers.dtype.itemsize <= 8 and bool(np.isfinite(numbers).all())


def is_same_answer(one: bytes | bytearray, other: bytes | bytearray) -> bool:
    """Whether two answers say the same, but for how their numbers were rounded."""
    return one == other or _is_same(json.loads(one), json.loads(other))


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        if not all(isinstance(each, float | int) for each in (one, other)):
            return False
        return (one != one and other != other) or math.isclose(  # noqa: PLR0124  (NaN)
            one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    return type(one) is type(other) and bool(one == other)
