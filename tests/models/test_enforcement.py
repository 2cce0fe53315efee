"""Data made to fit a signature: what is cast, what is refused, and what the errors say."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_input, enforce_params, validate_schema
from headrace.models.schema import (
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)
from headrace.models.signature import ModelSignature, infer_signature


def columns(**types: Any) -> ModelSignature:
    """A signature of columns; a name that ends in `_` is optional, without the `_`."""
    specs = [
        ColSpec(kind, name.rstrip("_"), required=not name.endswith("_"))
        for name, kind in types.items()
    ]
    return ModelSignature(Schema(specs))


def tensor(dtype: str, *shape: int, name: str | None = None) -> ModelSignature:
    return ModelSignature(Schema([TensorSpec(np.dtype(dtype), shape, name)]))


MESSAGE = Object([Property("role", "string"), Property("content", "string", required=False)])
CHAT = columns(messages=Array(MESSAGE), n_="long")

# --------------------------------------------------------------------------------- columns


def test_a_frame_that_fits_is_handed_back_as_it_is() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5], "s": ["x", "y"]})
    assert enforce_input(frame, columns(a="long", b="double", s="string")) is frame


def test_only_what_is_cast_is_copied() -> None:
    frame = pd.DataFrame({"a": np.arange(1000), "b": np.arange(1000, dtype="f4")})
    cast = enforce_input(frame, columns(a="long", b="double"))
    assert cast["b"].dtype == "float64"
    assert np.shares_memory(cast["a"].to_numpy(), frame["a"].to_numpy())
    assert frame["b"].dtype == "float32"


def test_without_a_signature_nothing_is_done() -> None:
    data = object()
    assert enforce_input(data, None) is data
    assert enforce_input(data, ModelSignature(outputs=Schema([ColSpec("long")]))) is data


def test_columns_come_in_the_order_of_the_schema_and_others_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frame = pd.DataFrame({"x": [0], "b": [1], "a": [2]}, index=[7])
    with caplog.at_level(logging.WARNING):
        found = enforce_input(frame, columns(a="long", b="long", c_="string"))
    pd.testing.assert_frame_equal(found, pd.DataFrame({"a": [2], "b": [1]}, index=[7]))
    assert "['x']" in caplog.text


def test_a_missing_column_is_named_with_those_that_are_too_many() -> None:
    with pytest.raises(InvalidRequest, match=r"lacks the required columns 'age', 'city'\. .*'Age'"):
        enforce_input(pd.DataFrame({"Age": [1]}), columns(age="long", city="string"))
    with pytest.raises(InvalidRequest, match="2 columns are needed, and these 1 are there"):
        enforce_input(
            pd.DataFrame({"a": [1]}), ModelSignature(Schema([ColSpec("long"), ColSpec("long")]))
        )


def test_unnamed_columns_go_by_their_place() -> None:
    signature = ModelSignature(Schema([ColSpec("long"), ColSpec("double")]))
    frame = pd.DataFrame({"x": [1], "y": np.array([1], "f4"), "z": [0]})
    assert list(enforce_input(frame, signature).columns) == ["x", "y"]


@pytest.mark.parametrize(
    ("values", "kind", "part"),
    [
        ([1, 2], "double", r"must be double \(float64\), but is int64\. .*\.astype\(float\)"),
        ([1, 2], "integer", r"must be integer \(int32\), but is int64\. .*astype\('int32'\)"),
        ([1.5], "long", r"must be long \(int64\), but is float64\. .*astype\(int\)"),
        ([1.5, None], "long", "is float64"),
        ([1.0, None], "long", "Values are missing"),
        ([1.5], "float", r"must be float \(float32\), .*astype\('float32'\)"),
        (["a"], "long", r"must be long \(int64\), but is str"),
        (["a"], "datetime", r"must be datetime \(datetime64\[ns\]\), but is str"),
        ([1], "string", r"must be string \(text\), but is int64"),
        ([1], "datetime", "is int64"),
        ([dt.timedelta(1)], "double", "is timedelta"),
        (pd.to_datetime(["2020"], utc=True), "datetime", "tz_localize"),
        (pd.Categorical(["a"]), "long", "must be long"),
        (pd.array([1, None], "Int64"), "long", "Values are missing"),
        (np.array([1], "u8"), "long", "is uint64"),
    ],
)
def test_an_error_names_the_column_what_it_is_and_should_be(
    values: Any, kind: str, part: str
) -> None:
    with pytest.raises(InvalidRequest, match=part) as caught:
        enforce_input(pd.DataFrame({"age": values}), columns(age=kind))
    assert "column 'age'" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        (np.array([1], "i4"), "long", "int64"),
        (np.array([1], "i4"), "double", "float64"),
        (np.array([1], "u4"), "long", "int64"),
        (np.array([1], "f4"), "double", "float64"),
        ([0, 1], "double", "float64"),
        ([0, 1], "float", "float32"),
        ([decimal.Decimal("1.5"), None], "double", "float64"),
        (pd.Series([1, 2], dtype=object), "long", "int64"),
        (pd.Series([dt.date(2020, 1, 1)], dtype=object), "datetime", "datetime64[ns]"),
        (["2020-01-01"], "datetime", "datetime64[ns]"),
        (np.array(["2020"], "M8[s]"), "datetime", "datetime64[ns]"),
        (pd.array([1, 2], "Int64"), "long", "int64"),
        (pd.array([1, None], "Float32"), "double", "float64"),
        (pd.Series([True, None], dtype=object), "boolean", "object"),
        (pd.Categorical(["a"]), "string", "category"),
    ],
)
def test_safe_casts(values: Any, kind: str, dtype: str) -> None:
    found = enforce_input(pd.DataFrame({"a": values}), columns(a=kind))
    assert str(found["a"].dtype) == dtype
    assert len(found) == len(values)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, None]),
        pd.Series([1, None], dtype=object),
        pd.array([1, None], "Int64"),
        pd.array([1, None], "Int16"),
    ],
)
def test_an_optional_column_of_integers_may_have_gaps(values: Any) -> None:
    found = enforce_input(pd.DataFrame({"a": values}), columns(a_="long"))
    assert str(found["a"].dtype) == "Int64"
    assert found["a"].tolist() == [1, pd.NA]


@pytest.mark.parametrize("values", [[1.5, None], [2.0**60, None], [1.5, 2.0]])
def test_gaps_do_not_excuse_fractions(values: Any) -> None:
    with pytest.raises(InvalidRequest, match="column 'a' must be long"):
        enforce_input(pd.DataFrame({"a": values}), columns(a_="long"))


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        enforce_input(pd.DataFrame([[1, 2]], columns=["a", "a"]), columns(a="long"))


# --------------------------------------------------------- other things that are made tables


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ({"a": 1, "b": "x"}, [{"a": 1, "b": "x"}]),
        ({"a": [1, 2], "b": np.array(["x", "y"])}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ([{"a": 1, "b": "x"}, {"b": "y", "a": 2}], [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (pl.DataFrame({"b": ["x"], "a": [1]}), [{"a": 1, "b": "x"}]),
        (pl.DataFrame({"b": ["x"], "a": pl.Series([1], dtype=pl.Int8)}), [{"a": 1, "b": "x"}]),
    ],
)
def test_what_becomes_a_table(data: Any, rows: list[dict[str, Any]]) -> None:
    found = enforce_input(data, columns(a="long", b="string"))
    assert isinstance(found, pd.DataFrame)
    assert found.to_dict("records") == rows


@pytest.mark.parametrize("rows", [np.array([[1.0, 2.0]]), [[1.0, 2.0]]], ids=["array", "lists"])
def test_what_has_no_names_goes_by_its_place(rows: Any) -> None:
    found = enforce_input(rows, columns(b=DataType.double, a=DataType.double))
    assert found.to_dict("records") == [{"b": 1.0, "a": 2.0}]
    with pytest.raises(InvalidRequest, match=r"has, 2, are without names.*'b' and 1 optional"):
        enforce_input(rows, columns(a=DataType.double, b=DataType.double, c_=DataType.double))
    with pytest.raises(InvalidRequest, match="lacks the required column"):
        enforce_input(pd.DataFrame(rows), columns(a=DataType.double, b=DataType.double))


@pytest.mark.parametrize("row", [[1.0, 2.0], np.array([1.0, 2.0]), "text", 1.0, None])
def test_a_row_without_its_brackets_is_told(row: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"has, 1, are without names.*'b', 'a'\. .*one row"):
        enforce_input(row, columns(b=DataType.double, a=DataType.double))


def test_rows_may_lack_all_that_is_optional() -> None:
    assert enforce_input([{}], columns(a_=DataType.double, b_=DataType.double)).shape[1] == 0


def test_a_list_of_texts_in_a_dictionary_is_one_rows_value_as_mlflow_has_it() -> None:
    found = enforce_input({"a": 1, "b": ["x", "y"]}, columns(a="long", b="string"))
    assert found.to_dict("records") == [{"a": 1, "b": ["x", "y"]}]


def test_lists_arrays_and_scalars_are_one_column() -> None:
    for data in ([1.5, 2.5], np.array([1.5, 2.5]), pd.Series([1.5, 2.5]), pl.Series([1.5, 2.5])):
        found = enforce_input(data, ModelSignature(Schema([ColSpec("double")])))
        assert found.iloc[:, 0].tolist() == [1.5, 2.5]
    assert enforce_input(np.array([1, 2]), columns(a="long"))["a"].tolist() == [1, 2]
    text = enforce_input("hello", ModelSignature(Schema([ColSpec("string")])))
    assert text.iloc[0, 0] == "hello"


def test_what_makes_no_table_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="dict could not"):
        enforce_input({"a": [1, 2], "b": [1]}, columns(a="long", b="long"))


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="differ in length"):
        enforce_input([[1, 2], [1]], ModelSignature(Schema([ColSpec("long"), ColSpec("long")])))


def test_big_integers_keep_all_their_digits_beside_gaps() -> None:
    big = 2**62 + 1
    for data in ([{"a": big}, {"b": 1}], pl.DataFrame({"a": [big, None], "b": [None, 1]})):
        found = enforce_input(data, columns(a_="long", b_="long"))
        assert found["a"].tolist() == [big, pd.NA]


# ---------------------------------------------------------------------------------- nested


def test_what_is_nested_and_fits_is_the_same_object() -> None:
    data = {"messages": [{"role": "user", "content": "hi"}], "n": 1}
    found = enforce_input(data, CHAT)
    assert found["messages"][0] is data["messages"]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({"messages": [{"role": 1}]}, r"messages\[0\]\.role must be string, but is int \(1\)"),
        ({"messages": [{"content": "x"}]}, r"messages\[0\] lacks 'role'"),
        ({"messages": [{"role": "x", "name": "y"}]}, r"messages\[0\] has 'name'.*knows 'content'"),
        ({"messages": "hi"}, r"messages must be a list of an object .*is str \('hi'\)"),
        ({"messages": [["x"]]}, r"messages\[0\] must be an object \(a dict\), but is list"),
        ({"messages": [{"role": None}]}, r"messages\[0\]\.role .*It is missing"),
        ([{"messages": []}, {"messages": [{"role": 1}]}], r"row 1: messages\[0\]\.role"),
        ({"messages": None}, "messages must be a list"),
        ({"n": 1}, "required column 'messages'"),
    ],
)
def test_errors_say_the_way_to_the_value(data: Any, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part):
        enforce_input(data, CHAT)


def test_optional_values_may_be_missing() -> None:
    data = {"messages": [{"role": "x", "content": None}, {"role": "y"}]}
    assert enforce_input(data, CHAT)["messages"][0] == data["messages"]


@pytest.mark.parametrize(
    ("kind", "given", "cast"),
    [
        ("long", 3, 3),
        ("long", np.int32(3), 3),
        ("integer", 3, 3),
        ("double", 3, 3.0),
        ("double", 2**53, 2.0**53),
        ("float", 1.5, 1.5),
        ("double", np.int64(1), 1.0),
        ("double", np.float32(1.5), 1.5),
        ("binary", b"a", b"a"),
        ("binary", "YQ==", "YQ=="),
        ("datetime", "2020-01-02", dt.datetime(2020, 1, 2)),  # noqa: DTZ001  (without a zone)
        ("datetime", dt.date(2020, 1, 2), dt.date(2020, 1, 2)),
        ("boolean", np.bool_(True), True),
        (Array("double"), [1, 2.5, None], [1.0, 2.5, pytest.approx(np.nan, nan_ok=True)]),
        (Array("string"), ["a", None], ["a", None]),
        (Map("long"), {"a": 1}, {"a": 1}),
        ("any", {"a": object}, {"a": object}),
    ],
)
def test_values_inside_are_cast_where_nothing_is_lost(kind: Any, given: Any, cast: Any) -> None:
    from headrace.models.schema import AnyType

    wanted = Object([Property("v", AnyType() if kind == "any" else kind)])
    found = enforce_input({"o": {"v": given}}, columns(o=wanted))
    assert found["o"][0]["v"] == cast
    assert type(found["o"][0]["v"]) is type(given) or found["o"][0]["v"] is not given


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("integer", 2**31),
        ("integer", np.int64(1)),
        ("long", 2**63),
        ("long", True),
        ("long", 1.0),
        ("double", 2**53 + 1),
        ("double", np.int64(3)),
        ("float", np.float64(1.5)),
        ("double", "1"),
        ("boolean", 1),
        ("string", b"a"),
        ("datetime", "soon"),
        ("long", None),
        (Array("long"), 3),
        (Array("long"), np.array([1.5])),
        (Array("long"), np.array([[1]])),
        (Array(Array("long")), [[1], [1.5]]),
        (Map("long"), {"a": "x"}),
        (Map("long"), {1: 1}),
    ],
)
def test_values_inside_that_do_not_fit_are_refused(kind: Any, given: Any) -> None:
    wanted = columns(o=Object([Property("v", kind)]))
    with pytest.raises(InvalidRequest, match=r"o\.v"):
        enforce_input({"o": {"v": given}}, wanted)


def test_arrays_inside_keep_their_class() -> None:
    frame = pd.DataFrame({"v": [np.array([1, 2], "f4"), np.array([3], "f4")]})
    found = enforce_input(frame, columns(v=Array("double")))
    assert found["v"][0].dtype == "float64"
    same = enforce_input(frame, columns(v=Array("float")))
    assert same["v"][0] is frame["v"][0]


def test_what_was_given_is_never_changed() -> None:
    data = {"o": {"v": 1, "w": [1, 2]}}
    kind = Object([Property("v", "double"), Property("w", Array("double"))])
    found = enforce_input(data, columns(o=kind))
    assert found["o"][0] == {"v": 1.0, "w": [1.0, 2.0]}
    assert isinstance(data["o"]["v"], int)


# --------------------------------------------------------------------------------- tensors


def test_tensors_are_checked_not_cast() -> None:
    array = np.zeros((4, 3), "f4")
    assert enforce_input(array, tensor("f4", -1, 3)) is array
    sparse = scipy.sparse.csr_matrix(array)
    assert enforce_input(sparse, tensor("f4", -1, 3)) is sparse
    with pytest.raises(InvalidRequest, match=r"shape \(-1, 2\).* but has \(4, 3\)"):
        enforce_input(array, tensor("f4", -1, 2))
    with pytest.raises(InvalidRequest, match=r"shape \(-1,\)"):
        enforce_input(array, tensor("f4", -1))
    with pytest.raises(InvalidRequest, match=r"type float64, but is float32.*astype\('float64'\)"):
        enforce_input(array, tensor("f8", -1, 3))


def test_lists_become_arrays_of_the_type_if_it_can_hold_them() -> None:
    assert enforce_input([[1, 2]], tensor("f4", -1, 2)).dtype == "float32"
    assert enforce_input([1, 2], tensor("i4", -1)).dtype == "int32"
    for data, dtype in (([1.5], "int64"), ([2**40], "int32"), ([-1], "uint8"), (["a"], "f4")):
        with pytest.raises(InvalidRequest):
            enforce_input(data, tensor(dtype, -1))
    with pytest.raises(InvalidRequest, match="no array"):
        enforce_input([[1], [1, 2]], tensor("f4", -1, 2))
    with pytest.raises(InvalidRequest, match="not object"):
        enforce_input(object(), tensor("f4", -1))


def test_named_tensors() -> None:
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("f4"), (-1, 2), "x"), TensorSpec(np.dtype("i8"), (-1,), "y")])
    )
    data = {"z": 0, "y": np.array([1]), "x": np.zeros((1, 2), "f4")}
    assert list(enforce_input(data, signature)) == ["x", "y"]
    with pytest.raises(InvalidRequest, match="required 'x'; it has 'y'"):
        enforce_input({"y": np.array([1])}, signature)
    with pytest.raises(InvalidRequest, match="'x', 'y' is needed"):
        enforce_input(np.array([1]), signature)
    with pytest.raises(InvalidRequest, match="input 'y' must be of type int64"):
        enforce_input({**data, "y": np.array([1.5])}, signature)
    frame = pd.DataFrame({"x": [[1, 2], [3, 4]], "y": [1, 2]})
    found = enforce_input(frame, signature)
    np.testing.assert_array_equal(found["x"], np.array([[1, 2], [3, 4]], "f4"))
    assert found["x"].dtype == "float32"
    assert enforce_input(np.array([1]), tensor("i8", -1, name="only"))["only"].tolist() == [1]


def test_tables_as_tensors() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5]})
    np.testing.assert_array_equal(enforce_input(frame, tensor("f8", -1, 2)), frame.to_numpy())
    assert enforce_input(frame, tensor("f4", -1, 2)).dtype == "float32"
    assert enforce_input(frame[["a"]], tensor("f8", -1, 1)).shape == (2, 1)
    images = pd.DataFrame({"i": [[1, 2, 3, 4], [5, 6, 7, 8]]})
    assert enforce_input(images, tensor("f4", -1, 2, 2)).shape == (2, 2, 2)
    with pytest.raises(InvalidRequest, match="do not make an array of shape"):
        enforce_input(images, tensor("f4", -1, 3, 2))
    with pytest.raises(InvalidRequest, match="one value in each row"):
        enforce_input(frame[["a"]], tensor("f8", -1, 2))
    with pytest.raises(InvalidRequest, match="only a tensor with the shape"):
        enforce_input(images, tensor("f4", -1, -1))
    with pytest.raises(InvalidRequest, match="empty"):
        enforce_input(pd.DataFrame(), tensor("f4", -1))


def test_ragged_arrays_pass_where_a_length_is_open() -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(2), np.zeros(3)]
    assert enforce_input(ragged, tensor("f8", -1, -1)) is ragged
    anything = np.zeros((2, 2))
    assert enforce_input(anything, tensor("O", -1)) is anything


# ---------------------------------------------------------------------------------- params

PARAMS = ParamSchema(
    [
        ParamSpec("n", "long", 1),
        ParamSpec("t", "double", 0.5),
        ParamSpec("stop", "string", ["."], (-1,)),
        ParamSpec("o", Object([Property("x", "double")]), {"x": 1.5}),
    ]
)
TUNED = ModelSignature(params=PARAMS)


def test_params_are_cast_and_completed() -> None:
    found = enforce_params({"t": 2, "n": np.int64(3)}, TUNED)
    assert found == {"n": 3, "t": 2.0, "stop": ["."], "o": {"x": 1.5}}
    assert [type(value) for value in found.values()] == [int, float, list, dict]


def test_unknown_params_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert enforce_params({"top_k": 3}, TUNED)["n"] == 1
    assert "top_k" in caplog.text
    assert enforce_params({"top_k": 3}, infer_signature(1)) == {}
    assert enforce_params({"top_k": 3}, None) == {}
    assert enforce_params(None, None) == {}


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"n": 1.5}, r"'n' must be long; it is 1\.5 \(float\)"),
        ({"n": True}, "'n' must be long"),
        ({"t": "x"}, "'t' must be double"),
        ({"t": True}, "'t' must be double"),
        ({"stop": "x"}, "'stop' must be a flat list"),
        ({"stop": [["x"]]}, "'stop' must be a flat list"),
        ({"stop": ["x", 1]}, r"'stop\[1\]' must be string"),
        ({"o": {"x": "y"}}, r"o\.x must be double"),
        ([], "must be a dict"),
    ],
)
def test_params_of_the_wrong_type_are_refused(params: Any, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part):
        enforce_params(params, TUNED)


def test_validate_schema_says_only_no() -> None:
    schema = Schema([ColSpec(DataType.long, "a")])
    validate_schema({"a": 1}, schema)
    with pytest.raises(InvalidRequest, match="column 'a'"):
        validate_schema({"a": "x"}, schema)
