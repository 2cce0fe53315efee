"""Signatures from data: what MLflow gives too is in frameworks/, here is what goes beyond it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_input, enforce_params
from headrace.models.signature import ModelSignature, infer_signature

NEW_YEAR = dt.datetime(2020, 1, 1)  # noqa: DTZ001  (a signature's times have no zone)


class Role(BaseModel):
    name: str
    weight: float | None = None


class Question(BaseModel):
    text: str
    roles: list[Role]
    extra: dict[str, Any] = {}


@dataclasses.dataclass
class Row:
    age: int
    born: dt.date
    tags: list[str] | None = None


def inputs(data: Any) -> list[dict[str, Any]]:
    schema = infer_signature(data).inputs
    assert schema is not None
    return schema.to_dict()


def test_a_frame() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert inputs(frame) == [
        {"type": "long", "name": "a", "required": True},
        {"type": "string", "name": "b", "required": False},
    ]


def test_polars_gives_what_pandas_gives() -> None:
    columns: dict[str, Any] = {
        "i": [1, 2],
        "f": [1.5, None],
        "s": ["a", None],
        "b": [True, False],
        "t": [NEW_YEAR, None],
        "l": [[1, 2], [3]],
        "r": [{"x": 1}, {"x": 2}],
    }
    assert inputs(pl.DataFrame(columns)) == inputs(pd.DataFrame(columns))
    assert inputs(pl.Series("i", [1, 2])) == inputs(pd.Series([1, 2], name="i"))
    assert inputs(pl.Series([1, None])) == [{"type": "long", "required": True}]


def test_a_column_without_a_type_does_not_spoil_the_others() -> None:
    frame = pd.DataFrame({"u": np.array([1, 2], "u8"), "m": [1, "a"], "a": [1, 2]})
    assert [column["type"] for column in inputs(frame)] == ["any", "any", "long"]


PYDANTIC = [
    {"type": "map", "values": {"type": "any"}, "name": "extra", "required": True},
    {"type": "string", "name": "text", "required": True},
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "required": True},
                "weight": {"type": "double", "required": False},
            },
        },
        "name": "roles",
        "required": True,
    },
]


@pytest.mark.parametrize(
    "data",
    [
        Question,
        Question(text="a", roles=[Role(name="b")]),
        [Question(text="a", roles=[]), Question(text="b", roles=[])],
    ],
)
def test_pydantic_models_give_columns_by_their_hints(data: Any) -> None:
    found = inputs(data)
    assert [column["name"] for column in found] == ["text", "roles", "extra"]
    assert sorted(found, key=str) == sorted(PYDANTIC, key=str)


@pytest.mark.parametrize("data", [Row, Row(1, dt.date(2020, 1, 1))])
def test_dataclasses_give_columns_by_their_hints(data: Any) -> None:
    columns = [
        {"type": "long", "name": "age", "required": True},
        {"type": "datetime", "name": "born", "required": True},
        {"type": "array", "items": {"type": "string"}, "name": "tags", "required": False},
    ]
    assert inputs(data) == columns
    assert ModelSignature(data).inputs == infer_signature(data).inputs


def test_pydantic_objects_in_dictionaries_are_dictionaries() -> None:
    plain = {"q": [{"name": "a", "weight": 1.5}]}
    assert inputs({"q": [Role(name="a", weight=1.5)]}) == inputs(plain)


class Tensor:
    """As torch's: an array once it is off the graph and the accelerator."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.shape, self.dtype = values.shape, "torch.float32"
        self.values = values

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        return self.values


def test_tensors_of_other_libraries_are_arrays() -> None:
    array = np.zeros((2, 3), "f4")
    assert inputs(Tensor(array)) == inputs(array)
    assert inputs({"a": Tensor(array), "b": array}) == inputs({"a": array, "b": array})
    signature = infer_signature(array)
    np.testing.assert_array_equal(enforce_input(Tensor(array), signature), array)


def test_sparse_matrices_and_arrays() -> None:
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": (-1, 3)}}
    for kind in ("csr_matrix", "csc_matrix", "csr_array"):
        assert inputs(getattr(scipy.sparse, kind)(np.eye(3))) == [spec]


@pytest.mark.parametrize("data", [object(), {1: "a"}, {}, [{}], pd.DataFrame()])
def test_what_no_schema_describes_may_be_anything(
    data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert inputs(data) == [{"type": "any", "required": True}]
    assert type(data).__name__ in caplog.text
    assert enforce_input(data, infer_signature(data)) is data


def test_a_table_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"twice: \['a'\]"):
        infer_signature(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize("value", [None, b"x", [None], [[1]], [1, "a"], [True, 1], object()])
def test_params_whose_type_cannot_be_told_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"arameter 'p"):
        infer_signature(1, None, {"p": value})


def test_a_list_of_integers_and_floats_is_of_floats() -> None:
    params = infer_signature(1, None, {"p": [1, 2.5]}).params
    assert params is not None
    assert [(spec.dtype.name, spec.default) for spec in params] == [("double", [1.0, 2.5])]  # type: ignore[union-attr]  # a scalar type


def test_what_is_missing_in_a_dictionary_is_not_required() -> None:
    found = inputs({"a": [1, None], "b": None, "c": [1], "d": float("nan")})
    assert [column["required"] for column in found] == [False, False, True, False]


def test_nothing_gives_no_signature() -> None:
    with pytest.raises(InvalidRequest, match="at least one"):
        infer_signature()


# -------------------------------------------------------------- whatever is inferred is accepted

TIMES = st.datetimes(NEW_YEAR.replace(1700), NEW_YEAR.replace(2200))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
SCALARS: tuple[st.SearchStrategy[Any], ...] = (
    *(INTEGERS, FLOATS, st.booleans()),
    *(st.text(max_size=5), st.binary(max_size=5), TIMES),
)
COLUMN_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)


def _values(kinds: tuple[st.SearchStrategy[Any], ...], length: int) -> st.SearchStrategy[Any]:
    made = [st.lists(st.none() | kind, min_size=length, max_size=length) for kind in kinds]
    return st.one_of(made)


@st.composite
def tables(draw: Callable[..., Any]) -> dict[str, list[Any]]:
    names = draw(st.lists(COLUMN_NAMES, min_size=1, max_size=4, unique=True))
    length = draw(st.integers(1, 4))
    return {name: draw(_values(SCALARS, length)) for name in names}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_a_frame_fits_its_own_signature(columns: dict[str, list[Any]]) -> None:
    frame = pd.DataFrame(columns)
    again = enforce_input(frame, infer_signature(frame))
    assert list(again.columns) == list(frame.columns)
    assert again.isna().to_numpy().tolist() == frame.isna().to_numpy().tolist()
    assert enforce_input(again, infer_signature(frame)) is not None


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_a_polars_frame_fits_its_own_signature(columns: dict[str, list[Any]]) -> None:
    frame = pl.DataFrame(columns)
    again = enforce_input(frame, infer_signature(frame))
    assert list(again.columns) == frame.columns
    assert len(again) == len(frame)


@given(
    st.sampled_from(["i1", "u2", "i4", "i8", "f2", "f4", "f8", "?", "U3", "S3", "M8[ns]", "c8"]),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_an_array_fits_its_own_signature(dtype: str, shape: list[int]) -> None:
    array = np.zeros(shape, dtype)
    assert enforce_input(array, infer_signature(array)) is array
    named = {"a": array, "b": array}
    again = enforce_input(named, infer_signature(named))
    assert all(again[name] is array for name in named)


# Nothing is known of what is empty, so MLflow lets it stand beside anything: [{}, [1]].
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.one_of(*SCALARS, st.none()),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(min_size=1, max_size=4), NESTED, min_size=1, max_size=3))
def test_a_dictionary_fits_its_own_signature(data: dict[str, Any]) -> None:
    enforce_input(data, infer_signature(data))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from("abc"), NESTED), min_size=1, max_size=3))
def test_a_list_of_dictionaries_fits_its_own_signature(data: list[dict[str, Any]]) -> None:
    enforce_input(data, infer_signature(data))


@given(st.one_of([st.lists(kind, max_size=3) for kind in SCALARS] + [*SCALARS]))
def test_lists_and_scalars_fit_their_own_signature(data: Any) -> None:
    enforce_input(data, infer_signature(data))


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=3),
        st.one_of(*SCALARS[:4], TIMES, st.lists(INTEGERS), st.lists(FLOATS), st.lists(st.text())),
    )
)
def test_params_fit_their_own_signature(params: dict[str, Any]) -> None:
    signature = infer_signature(1, None, params)
    assert enforce_params(params, signature) == params
    assert enforce_params(None, ModelSignature.from_dict(signature.to_dict())) == params
