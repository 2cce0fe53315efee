"""Data made to fit type hints."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from typing import Any, Optional

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.models.python_model import PythonModel, hints_of, pyfunc
from headrace.models.python_model_hints import data_for_hint

NOON = dt.datetime(2026, 1, 2, 12)  # noqa: DTZ001 - as JSON says it


class Point(pydantic.BaseModel):
    """A row."""

    x: float
    label: str | None = None


@dataclasses.dataclass
class Pair:
    """A row of another kind."""

    a: int
    b: int


@pytest.mark.parametrize(
    ("data", "hint", "expected"),
    [
        (["a"], list[str], ["a"]),
        (("a",), list[str], ["a"]),
        ([1], list[float], [1.0]),
        (np.array([1, 2]), list[int], [1, 2]),
        ([np.int64(3)], list[int], [3]),
        ([NOON.isoformat()], list[dt.datetime], [NOON]),
        ([base64.b64encode(b"x").decode()], list[bytes], [b"x"]),
        ([{"a": [1]}], list[dict[str, list[int]]], [{"a": [1]}]),
        ([None, 1], list[Optional[int]], [None, 1]),  # noqa: UP045 - users write it
        ([None, "a", 1], list[int | str | None], [None, "a", 1]),
        ([object], list[Any], [object]),
        ([{"x": 1}], list[Point], [Point(x=1)]),
        ([Point(x=1)], list[Point], [Point(x=1)]),
        ([{"a": 1, "b": 2}], list[Pair], [Pair(1, 2)]),
        (pd.DataFrame({"x": [1.0], "label": ["p"]}), list[Point], [Point(x=1, label="p")]),
        (pl.DataFrame({"x": [1.0]}), list[Point], [Point(x=1)]),
        (pd.DataFrame({"a": [1, 2]}), list[int], [1, 2]),
        (pd.Series([1, 2]), list[int], [1, 2]),
        (pl.Series([1, 2]), list[int], [1, 2]),
        (pd.DataFrame({"x": [float("nan")]}), list[dict[str, Optional[float]]], [{"x": None}]),  # noqa: UP045 - users write it
        (pd.DataFrame({0: [{"x": 1.0}]}), list[Point], [Point(x=1)]),
    ],
)
def test_data_fits(data: Any, hint: Any, expected: Any) -> None:
    assert data_for_hint(data, hint) == expected


@pytest.mark.parametrize(
    ("data", "hint", "message"),
    [
        ("a", list[str], r"^model_input is of the type str.*list\[str\]"),
        ([1], list[str], r"^model_input\[0\] is of the type int.*wants str"),
        ([True], list[int], r"type bool.*wants int"),
        ([1.5], list[int], r"type float.*wants int"),
        ([{"a": {"b": "x"}}], list[dict[str, dict[str, int]]], r"\[0\]\['a'\]\['b'\] is of"),
        ([7], list[Point], r"type int.*wants Point"),
        ([{"label": "p"}], list[Point], r"\[0\] is no Point"),
        ([{"a": 1}], list[Pair], r"\[0\] is no Pair"),
        (["yesterday"], list[dt.datetime], r"type str.*wants datetime"),
        (["ä"], list[bytes], r"type str.*wants bytes"),
        (pd.DataFrame({"a": [1], "b": [2]}), list[int], r"one column; this has 2: a, b"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, hint: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        data_for_hint(data, hint)


@given(st.lists(st.dictionaries(st.text(), st.lists(st.integers()))))
def test_what_fits_already_stays_as_it_is(data: list[dict[str, list[int]]]) -> None:
    assert data_for_hint(data, list[dict[str, list[int]]]) == data


def test_calls_are_checked_by_place_and_by_name() -> None:
    @pyfunc
    def size(rows: list[Point]) -> float:
        return sum(row.x for row in rows)

    rows: Any = [{"x": 2.0}]
    assert size(rows) == size(rows=rows) == 2.0
    with pytest.raises(TypeError):
        size()
    assert pyfunc(len) is len
    assert hints_of(size).output is float


def test_texts_for_hints_are_resolved_when_the_class_is_made() -> None:
    class Sizes(PythonModel):
        def predict(self, context: Any, model_input: list[Point], params: Any = None) -> list[str]:
            return [type(row).__name__ for row in model_input]

    rows: Any = [{"x": 1}]
    assert Sizes().predict(None, rows, params={}) == ["Point"]
    assert Sizes().predict_type_hints.input == list[Point]
    assert vars(Sizes)["predict"].__wrapped__.__annotations__["model_input"] == list[Point]
