"""Tensors come back as they went, and what is no tensor is refused without costing memory."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from headrace.errors import InvalidRequest
from headrace.models.json_values import object_array
from headrace.serving.worker.tensors import DATATYPES, decode_tensor, encode_tensor

NUMBERS = [name for name in DATATYPES if name != "BYTES"]
NUMPY = {"BOOL": "bool", "FP": "float", "INT": "int", "UINT": "uint"}


def numpy_type(datatype: str) -> np.dtype[Any]:
    letters = datatype.rstrip("0123456789")
    return np.dtype(NUMPY[letters] + datatype[len(letters) :])


def bytes_tensor(*items: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = numpy_type(draw(st.sampled_from(NUMBERS)))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    found: np.ndarray[Any, Any] = draw(npst.arrays(dtype, shape))
    return found


def passed_on(values: Any, *, is_binary: bool) -> Any:
    """What is decoded of what an array is encoded as."""
    head, data = encode_tensor("t", values, is_binary=is_binary)
    head = json.loads(json.dumps(head))
    parameters = head.pop("parameters", {})
    assert parameters.get("binary_data_size", 0) == len(data)
    return decode_tensor({**head, "parameters": parameters}, data if is_binary else None)


@given(arrays(), st.booleans())
def test_numbers_come_back_as_they_went(values: np.ndarray[Any, Any], is_binary: bool) -> None:
    found = passed_on(values, is_binary=is_binary)
    assert found.name == "t"
    assert found.values.dtype == values.dtype
    np.testing.assert_array_equal(found.values, values)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.booleans())
def test_texts_come_back_as_they_went(texts: list[str], is_binary: bool) -> None:
    found = passed_on(object_array(texts), is_binary=is_binary).values.tolist()
    assert [x.decode() if isinstance(x, bytes) else x for x in found] == texts


@given(st.lists(st.binary(), min_size=1))
def test_bytes_come_back_as_they_went(items: list[bytes]) -> None:
    assert passed_on(object_array(items), is_binary=True).values.tolist() == items
    assert passed_on(object_array(items), is_binary=False).content_type == "base64"


@given(arrays())
def test_data_may_be_nested_as_the_shape_says(values: np.ndarray[Any, Any]) -> None:
    head, _ = encode_tensor("t", values, is_binary=False)
    nested = values.tolist() if values.ndim else [values.item()]
    flat = [None if isinstance(x, float) and math.isnan(x) else x for x in values.ravel().tolist()]
    assert head["data"] == flat
    if values.size:
        found = decode_tensor({**head, "data": nested}, None)
        np.testing.assert_array_equal(found.values, values)


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from((2**62, 2**64, 10**400, -1)),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-2, 4), max_size=4),
    st.lists(st.sampled_from((0, 1, 2**31, 2**63, 10**30)), max_size=34),
    st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("t") | HOSTILE,
            "shape": HOSTILE,
            "datatype": st.sampled_from(DATATYPES) | HOSTILE,
            "data": HOSTILE,
            "parameters": HOSTILE,
        },
    ),
    st.none() | st.binary(max_size=40),
)
def test_what_is_hostile_is_refused_or_small(told: dict[str, Any], binary: bytes | None) -> None:
    try:
        found = decode_tensor(told, binary)
    except InvalidRequest:
        return
    assert found.values.size <= 40
    assert [*found.values.shape] == told["shape"]


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT8", [1], [128]),
        ("INT8", [1], [1.0]),
        ("INT8", [1], [True]),
        ("UINT64", [1], [-1]),
        ("UINT64", [1], [2**64]),
        ("BOOL", [1], [1]),
        ("FP32", [1], ["1"]),
        ("FP32", [2], [1]),
        ("FP32", [0], [1]),
        ("FP32", [-1], [1]),
        ("FP32", [1.0], [1]),
        ("FP32", [True], [1]),
        ("FP32", [2, 2], [[1, 2], [3]]),
        ("FP32", [4], [[1, 2], [3, 4]]),
        ("FP32", [2, 2], [[1, 2, 3], [4]]),
        ("FP32", [1, 1], [[[1]]]),
        ("FP64", [1], [10**400]),
        ("BYTES", [1], [1]),
        ("BYTES", [1], "a"),
        ("INT128", [1], [1]),
        ("FP32", [10**12], []),
        ("FP32", [0, 2**62, 2**62], []),
        ("FP32", [10**4000, 10**4000], [1]),
        ("FP32", [1] * 33, [1]),
    ],
)
def test_values_that_do_not_fit_are_refused(datatype: str, shape: list[Any], data: Any) -> None:
    told = {"name": "t", "datatype": datatype, "shape": shape, "data": data}
    with pytest.raises(InvalidRequest, match="'t'"):
        decode_tensor(told, None)


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", [2], b"\0" * 7),
        ("FP32", [2], b"\0" * 9),
        ("FP32", [2**40, 2**40], b"\0" * 8),
        ("BOOL", [2], b"\1\2"),
        ("BYTES", [1], b""),
        ("BYTES", [1], b"\5\0\0\0abc"),
        ("BYTES", [1], b"\xff\xff\xff\xffabc"),
        ("BYTES", [1], bytes_tensor(b"a") + b"x"),
        ("BYTES", [1], bytes_tensor(b"a", b"b")),
        ("BYTES", [3], bytes_tensor(b"a", b"b")),
        ("BYTES", [10**12], bytes_tensor(b"a")),
        ("BYTES", [1], b"\1\0\0"),
    ],
)
def test_binary_data_of_the_wrong_size_is_refused(
    datatype: str, shape: list[int], data: bytes
) -> None:
    with pytest.raises(InvalidRequest, match="'t'"):
        decode_tensor({"name": "t", "datatype": datatype, "shape": shape}, data)


def test_data_is_in_one_place() -> None:
    told = {"name": "t", "datatype": "INT8", "shape": [1], "data": [1]}
    with pytest.raises(InvalidRequest, match="both"):
        decode_tensor(told, b"\1")
    del told["data"]
    with pytest.raises(InvalidRequest, match="no 'data'"):
        decode_tensor(told, None)


def test_what_is_no_number_is_a_text_of_its_own() -> None:
    items = ["a", None, {"b": [1]}, 2.5, np.float32(1)]
    head, _ = encode_tensor("t", object_array(items), is_binary=False)
    assert head["data"] == ["a", "", '{"b": [1]}', "2.5", "1.0"]
    times = np.array(["2020-01-02T03:04:05", "NaT"], dtype="datetime64[s]")
    head, _ = encode_tensor("t", times, is_binary=False)
    assert (head["datatype"], head["data"]) == ("BYTES", ["2020-01-02T03:04:05", ""])
    head, _ = encode_tensor("t", np.array([["ä"]]), is_binary=False)
    assert (head["shape"], head["data"]) == ([1, 1], ["ä"])


def test_missing_numbers_are_null() -> None:
    head, _ = encode_tensor("t", np.array([1.5, np.nan], dtype="float32"), is_binary=False)
    assert head["data"] == [1.5, None]
