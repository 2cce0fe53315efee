"""Requests to a scoring server, well-formed and not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_input
from headrace.models.payload import decode_csv, decode_payload
from headrace.models.schema import (
    Array,
    ColSpec,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)
from headrace.models.signature import ModelSignature

TABLE = ModelSignature(
    Schema(
        [
            ColSpec("double", "x"),
            ColSpec("string", "s"),
            ColSpec("binary", "b", required=False),
            ColSpec("datetime", "t", required=False),
            ColSpec(Object([Property("w", Array("double"))]), "o", required=False),
        ]
    )
)
FULL = {"x": 1, "s": "a", "b": "AP8=", "t": "2020-01-02T03:04:05Z", "o": {"w": [1]}}


def decoded(request: Any, signature: ModelSignature | None = None) -> Any:
    return decode_payload(json.dumps(request), signature).data


@pytest.mark.parametrize(
    "request_",
    [
        {"dataframe_split": {"columns": ["x", "s"], "data": [[1, "a"], [2.5, "b"]]}},
        {
            "dataframe_split": {
                "columns": ["x", "s"],
                "data": [[1, "a"], [2.5, "b"]],
                "index": [0, 1],
            }
        },
        {"dataframe_records": [{"x": 1, "s": "a"}, {"x": 2.5, "s": "b"}]},
        {"instances": [{"x": 1, "s": "a"}, {"x": 2.5, "s": "b"}]},
        {"inputs": {"x": [1, 2.5], "s": ["a", "b"]}},
        {"inputs": [{"x": 1, "s": "a"}, {"x": 2.5, "s": "b"}]},
    ],
)
def test_all_formats_make_the_same_table(request_: dict[str, Any]) -> None:
    found = enforce_input(decoded(request_, TABLE), TABLE)
    assert found.to_dict("list") == {"x": [1.0, 2.5], "s": ["a", "b"]}
    assert found["x"].dtype == "float64"


def test_types_that_json_lacks_come_from_the_signature() -> None:
    naive = {**FULL, "t": "2020-01-02T03:04:05"}
    for request in ({"dataframe_records": [naive]}, {"inputs": [naive]}, {"inputs": naive}):
        row = enforce_input(decoded(request, TABLE), TABLE).iloc[0]
        assert row["b"] == b"\x00\xff"
        assert row["t"] == pd.Timestamp("2020-01-02T03:04:05")
        assert row["o"] == {"w": [1.0]}


def test_whole_numbers_are_floats_and_integers_alike() -> None:
    signature = ModelSignature(Schema([ColSpec("long", "n"), ColSpec("float", "f")]))
    request = {"dataframe_split": {"columns": ["n", "f"], "data": [[1.0, 1]]}}
    found = enforce_input(decoded(request, signature), signature)
    assert [str(kind) for kind in found.dtypes] == ["int64", "float32"]
    request["dataframe_split"]["data"] = [[1.5, 1]]
    with pytest.raises(InvalidRequest, match="column 'n'"):
        enforce_input(decoded(request, signature), signature)
    request["dataframe_split"]["data"] = [["1", 1]]
    with pytest.raises(InvalidRequest, match="column 'n'"):
        enforce_input(decoded(request, signature), signature)


@pytest.mark.parametrize("values", [["1.5", "2"], ["1.5", 2]])
def test_texts_are_no_numbers(values: list[Any]) -> None:
    request = {"dataframe_records": [{"x": value, "s": "a"} for value in values]}
    with pytest.raises(InvalidRequest, match="column 'x'"):
        enforce_input(decoded(request, TABLE), TABLE)


def test_tensors() -> None:
    signature = ModelSignature(Schema([TensorSpec(np.dtype("f4"), (-1, 2))]))
    for name in ("inputs", "instances"):
        found = decoded({name: [[1, 2], [3, 4]]}, signature)
        assert found.dtype == "float32"
        assert found.shape == (2, 2)
    named = ModelSignature(Schema([TensorSpec(np.dtype("i8"), (-1,), "a")]))
    for request in (
        {"inputs": {"a": [1, 2]}},
        {"inputs": [1, 2]},
        {"instances": [{"a": 1}, {"a": 2}]},
    ):
        assert decoded(request, named)["a"].tolist() == [1, 2]
    with pytest.raises(InvalidRequest, match="no array of float32"):
        decoded({"inputs": [["x"]]}, signature)


def test_without_a_signature() -> None:
    assert decoded({"inputs": [[1, 2]]}).tolist() == [[1, 2]]
    assert decoded({"inputs": {"a": [1], "b": "x"}}) == {"a": np.array([1]), "b": "x"}
    assert decoded({"inputs": [{"a": 1}]}) == [{"a": 1}]
    assert decoded({"inputs": "text"}) == "text"
    assert decoded({"dataframe_records": [{"a": 1}]}).to_dict("list") == {"a": [1]}


def test_params_go_beside_the_data() -> None:
    payload = decode_payload({"inputs": ["a"], "params": {"n": 3}})
    assert payload.params == {"n": 3}
    assert not payload.is_unwrapped


def test_language_models_are_asked_without_a_wrapper() -> None:
    signature = ModelSignature(params=ParamSchema([ParamSpec("n", "long", 1)]))
    payload = decode_payload('{"messages": [], "n": 2, "stop": ["x"]}', signature)
    assert payload.data == {"messages": [], "stop": ["x"]}
    assert payload.params == {"n": 2}
    assert payload.is_unwrapped
    assert decode_payload('{"prompt": "x", "n": 2}').data == {"prompt": "x", "n": 2}


def test_signatures_from_type_hints_take_inputs_as_they_are() -> None:
    request = {"inputs": [{"x": 1}]}
    assert decode_payload(request, TABLE, from_type_hints=True).data == [{"x": 1}]
    with pytest.raises(InvalidRequest, match="needs 'inputs', not 'instances'"):
        decode_payload({"instances": [1]}, TABLE, from_type_hints=True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"\xff", "no UTF-8"),
        ("{", "no JSON: Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ('{"inputs": %s}' % ("9" * 5_000), "number in it has more than 4300 digits.$"),
        ("[1]", "one of 'dataframe_split', .*; it is a list"),
        ("3", "it is a number"),
        ("null", "it is null"),
        ("{}", "it has no keys"),
        ('{"data": 1}', "it has 'data'"),
        ('{"inputs": 1, "instances": 1}', "it has 'inputs', 'instances'"),
        ('{"inputs": 1, "parameters": {}}', "'parameters' beside 'inputs'"),
        ('{"inputs": 1, "params": [1]}', "'params' of the request must be an object, not a list"),
        ('{"dataframe_split": []}', "'dataframe_split' must be an object"),
        ('{"dataframe_split": {"columns": []}}', "with 'columns'"),
        ('{"dataframe_split": {"data": [[1]], "dtype": 1}}', "has 'dtype'"),
        (
            '{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}',
            "Row 1 .* 2 values for 1",
        ),
        ('{"dataframe_split": {"columns": ["a"], "data": [1]}}', "Row 0 .* a number for 1"),
        ('{"dataframe_split": {"data": [[1], [1, 2]]}}', "Row 1 .* 2 values for 1"),
        ('{"dataframe_split": {"columns": 1, "data": [[1]]}}', "makes no table"),
        (
            '{"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [1, 2]}}',
            "2 values for 1 rows",
        ),
        ('{"dataframe_records": {"a": 1}}', "must be a list of objects, .*; it is an object"),
        ('{"dataframe_records": [1]}', "must be a list of objects"),
        ('{"instances": [{"a": 1}, {"b": 1}]}', "Row 0 of 'instances' lacks 'b'"),
        ('{"instances": {"a": [1], "b": [1, 2]}}', "different lengths"),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(text: Any, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part):
        decode_payload(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["columns", "data", "index", "x", "s", "b", "t", "o"]), inner
        )
    ),
)
FORMATS = st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"])
TENSOR = ModelSignature(Schema([TensorSpec(np.dtype("f4"), (-1, 2))]))


@given(st.dictionaries(FORMATS, JSON, max_size=1), st.sampled_from([None, TABLE, TENSOR]))
def test_no_request_is_anything_but_data_or_an_error(
    request: dict[str, Any], signature: ModelSignature | None
) -> None:
    try:
        enforce_input(decode_payload(json.dumps(request), signature).data, signature)
    except InvalidRequest:
        return


def test_csv() -> None:
    text = "x,s,t\n1,007,2020-01-02\n2.5,b,\n"
    found = enforce_input(decode_csv(text, TABLE), TABLE)
    assert found["s"].tolist() == ["007", "b"]
    assert found["t"].tolist() == [pd.Timestamp("2020-01-02"), pd.NaT]
    assert decode_csv("a\n1\n")["a"].tolist() == [1]
    for broken in ("", "a,b\n1,2,3\n4\n1,2,3,4,5\n"):
        with pytest.raises(InvalidRequest, match="no CSV"):
            decode_csv(broken, TABLE)


@pytest.mark.parametrize(
    "text",
    [
        "," * 10_000,
        "\n \r\n" + "a," * 10_000 + "\n1\n",
        '"a\n",' + "b," * 9_999,
        "a\n" + "," * 10_000,
        "a\r" + "1," * 10_000,
    ],
    ids=["header", "after empty lines", "after a line in quotes", "row", "row of an old Mac"],
)
def test_csv_of_very_many_columns_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(InvalidRequest, match="has 10,001 columns; at most 10,000"):
        decode_csv(text)


def test_csv_of_many_columns_is_read() -> None:
    header = ",".join(f"c{place}" for place in range(10_000))
    assert decode_csv(f"{header}\n").shape == (0, 10_000)


@given(
    st.lists(st.lists(st.text('a1",\r\n ', max_size=4), max_size=3), max_size=3)
    | st.just([["x" * 200_000]])
)
def test_any_csv_is_read_or_refused(rows: list[list[str]]) -> None:
    try:
        assert len(decode_csv("\n".join(map(",".join, rows))).columns)
    except InvalidRequest:
        return


@pytest.mark.parametrize("names", [["x", "s", "x"], ["s", "s", "x"]])
def test_a_column_that_is_there_twice_is_named(names: list[str]) -> None:
    request = {"dataframe_split": {"columns": names, "data": [[1, 2, 3]]}}
    with pytest.raises(InvalidRequest, match=f"columns twice: .'{names[0]}'"):
        decode_payload(request, TABLE)


def test_letters_that_base64_does_not_have_are_a_text() -> None:
    request = {"dataframe_records": [{"x": 1.5, "s": "a", "b": "ß"}]}
    assert decode_payload(request, TABLE).data["b"].tolist() == ["ß"]
