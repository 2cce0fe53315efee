"""Signatures, enforcement, examples and requests beside the real MLflow's, on the same data."""

from __future__ import annotations

import datetime as dt
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mlflow.models")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import scipy.sparse
    from mlflow.exceptions import MlflowException
    from mlflow.models.model import Model as MlflowModel
    from mlflow.models.signature import ModelSignature as MlflowSignature
    from mlflow.models.signature import infer_signature as mlflow_infer
    from mlflow.models.utils import (
        _enforce_params_schema,
        _enforce_schema,
        _Example,
        _read_example,
        _read_example_params,
    )
    from mlflow.pyfunc.scoring_server import _parse_json_data

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_input, enforce_params
from headrace.models.examples import (
    convert_input_example_to_serving_input,
    load_example,
    load_example_params,
    save_example,
)
from headrace.models.payload import decode_payload
from headrace.models.signature import ModelSignature, infer_signature

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

DAY = dt.datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001  (a signature's times have no zone)
FRAME = pd.DataFrame(
    {
        "long": [1, 2],
        "double": [1.5, None],
        "bool": [True, False],
        "text": ["a", None],
        "time": pd.to_datetime(np.array(["2020-01-02", "NaT"], "M8[s]")),
        "int32": np.array([1, 2], "i4"),
        "int8": np.array([1, 2], "i1"),
        "uint8": np.array([1, 2], "u1"),
        "uint32": np.array([1, 2], "u4"),
        "float32": np.array([1, 2], "f4"),
        "float16": np.array([1, 2], "f2"),
        "Int64": pd.array([1, 2], "Int64"),
        "boolean": pd.array([True, False], "boolean"),
        "blob": [b"a", b"b"],
        "objects": pd.Series(["a", None], dtype=object),
        "truths": pd.Series([True, None], dtype=object),
        "nothing": pd.Series([None, None], dtype=object),
        "lists": [[1, 2], [3]],
        "gaps": [["a", None], []],
        "nested": [[[1.5]], [[]]],
        "records": [{"a": 1, "b": "x"}, {"a": 2}],
        "deep": [{"m": [{"r": "u", "c": None}]}, {"m": [{"r": "v", "c": "t"}]}],
        "some": [{"a": 1}, None],
        "arrays": [np.array([1.0, 2.0]), np.array([3.0])],
    }
)
CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "me", "content": None}], "n": 2}
INPUTS: dict[str, Any] = {
    **{f"column {name}": FRAME[[name]] for name in FRAME},
    "frame": FRAME,
    "series": FRAME["double"],
    "unnamed series": pd.Series([1.5, 2.5]),
    "numbered": pd.DataFrame(np.zeros((2, 3))),
    "empty columns": pd.DataFrame(
        {"a": pd.Series([], dtype="f8"), "t": pd.Series([], dtype="str")}
    ),
    "category": pd.DataFrame({"c": pd.Categorical(["a", "b"])}),
    "array": np.zeros((4, 3), "f4"),
    "flat": np.array([1, 2]),
    "texts": np.array(["a", "bc"]),
    "bytes": np.array([b"a", b"bc"]),
    "times": np.array(["2020-01-01"], "M8[ns]"),
    "object array": np.array(["a", None], dtype=object),
    "arrays": {"a": np.zeros((2, 3)), "b": np.array([1, 2], "i4")},
    "csr": scipy.sparse.csr_matrix(np.eye(3)),
    "csc": scipy.sparse.csc_matrix(np.eye(3, dtype="f4")),
    "dict": {"a": 1, "b": "x", "c": [1.5, 2.5], "d": {"e": True}, "f": b"x", "g": DAY},
    "holes": {"a": None, "b": [], "c": {"x": None}, "d": [1, None], "e": {}},
    "chat": CHAT,
    "text": "hello",
    "number": 3,
    "float": 2.5,
    "truth": True,
    "blob": b"abc",
    "time": DAY,
    "date": DAY.date(),
    "list of texts": ["a", "b"],
    "list of numbers": [1.5, 2.5],
    "list with holes": [1.5, None],
    "list of lists": [[1, 2], [3]],
    "list of dicts": [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
    "uneven dicts": [{"a": 1}, {"b": "x"}],
    "nested dicts": [{"a": {"x": 1}}, {"a": {"y": [1.5]}}],
    "optional in list": {"m": [{"a": 1}, {"a": 2, "b": 3}]},
    "none in list": {"m": [{"a": 1}, None]},
    "none first": {"m": [None, {"a": 1}]},
    "empty list": [],
    "numpy scalar": np.float32(1.5),
    "numpy in dict": {"a": np.int32(1), "b": np.float64(2.5), "c": np.str_("x")},
    "tuple of arrays in a list": [{"v": np.array([1.0, 2.0])}],
}
PARAMS: dict[str, Any] = {
    "all": {
        "a": 1,
        "b": 1.5,
        "c": "x",
        "d": True,
        "e": [1, 2],
        "f": [1, 2.5],
        "g": ["a", "bb"],
        "h": np.int32(3),
        "i": {"x": 1, "y": [1]},
        "j": DAY,
        "k": DAY.date(),
        "l": [DAY.date()],
        "m": np.array([1, 2], "i4"),
        "n": [],
        "o": np.float32(1.5),
        "p": [True, False],
    }
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """MLflow's advice would fill the log of the tests."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", INPUTS)
def test_the_same_schema_is_inferred(name: str) -> None:
    theirs = mlflow_infer(INPUTS[name], INPUTS[name]).to_dict()
    ours = infer_signature(INPUTS[name], INPUTS[name]).to_dict()
    assert _loaded(ours) == _loaded(theirs)


@pytest.mark.parametrize("name", INPUTS)
def test_each_reads_what_the_other_writes(name: str) -> None:
    theirs, ours = mlflow_infer(INPUTS[name], None), infer_signature(INPUTS[name], None)
    assert ModelSignature.from_dict(theirs.to_dict()).to_dict() == theirs.to_dict()
    assert MlflowSignature.from_dict(ours.to_dict()).to_dict() == ours.to_dict()
    assert repr(ModelSignature.from_dict(theirs.to_dict())) == repr(theirs)


SCALARS = st.one_of(
    *(st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.text(max_size=3)),
    *(st.binary(max_size=3), st.datetimes(DAY), st.none()),
    *(st.integers(0, 9).map(np.int32), st.floats(width=32).map(np.float32)),
)
NESTED: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
)
RECORDS = st.dictionaries(st.sampled_from(["x", "y"]), NESTED, min_size=1)


@settings(max_examples=200, deadline=None)
@given(st.one_of(NESTED, RECORDS, st.lists(RECORDS, max_size=3)))
def test_whatever_mlflow_describes_is_described_alike(data: Any) -> None:
    theirs = mlflow_infer(data) if data is not None else None
    given_up = [{"type": "any", "required": True}]
    if theirs is None or theirs.inputs.to_dict() == given_up:
        return
    signature = infer_signature(data)
    assert _loaded(signature.to_dict()) == _loaded(theirs.to_dict())
    assert repr(signature) == repr(theirs)


@pytest.mark.parametrize("name", PARAMS)
def test_the_same_params_are_inferred(name: str) -> None:
    theirs, ours = mlflow_infer(None, None, PARAMS[name]), infer_signature(None, None, PARAMS[name])
    assert ours.to_dict() == theirs.to_dict()
    assert ModelSignature.from_dict(theirs.to_dict()).to_dict() == theirs.to_dict()
    assert MlflowSignature.from_dict(ours.to_dict()).to_dict() == ours.to_dict()
    assert enforce_params({}, ours) == _enforce_params_schema({}, theirs.params)


def _loaded(signature: dict[str, Any]) -> dict[str, Any]:
    return {key: None if text is None else json.loads(text) for key, text in signature.items()}


def _both(data: Any, schema: list[dict[str, Any]]) -> tuple[Any, Any]:
    """What MLflow and what we make of data; an error in place of a result."""
    saved = {"inputs": json.dumps(schema)}
    theirs = _try(lambda: _enforce_schema(data, MlflowSignature.from_dict(saved).inputs))
    ours = _try(lambda: enforce_input(data, ModelSignature.from_dict(saved)))
    return theirs, ours


def _try(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (MlflowException, InvalidRequest, TypeError, ValueError, KeyError) as error:
        return error


@pytest.mark.parametrize("name", INPUTS)
def test_data_is_enforced_on_its_own_signature_with_the_same_result(name: str) -> None:
    schema = json.loads(str(infer_signature(INPUTS[name]).to_dict()["inputs"]))
    theirs, ours = _both(INPUTS[name], schema)
    assert not isinstance(ours, Exception), ours
    # MLflow cuts the texts of a list with a hole in it to the length of one letter.
    is_cut = name in ("column gaps", "frame")
    if not isinstance(theirs, Exception) and not is_cut:
        _assert_same(ours, theirs)


TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
COLUMNS = ("long", "double", "bool", "text", "time", "int32", "int8", "uint8", "uint32", "float32")
MORE = ("float16", "blob", "objects", "truths")
# MLflow checks nothing of objects that should be truth values.
STRICTER = {("blob", "boolean")}


@pytest.mark.parametrize("wanted", TYPES)
@pytest.mark.parametrize("column", [*COLUMNS, *MORE])
def test_columns_are_cast_where_mlflow_casts_them(column: str, wanted: str) -> None:
    schema = [{"type": wanted, "name": column, "required": True}]
    theirs, ours = _both(FRAME[[column]], schema)
    if isinstance(theirs, Exception) or (column, wanted) in STRICTER:
        assert isinstance(ours, InvalidRequest), f"MLflow refuses this: {theirs}"
        assert repr(column) in str(ours)
        assert wanted in str(ours)
    else:
        _assert_same(ours, theirs)


def _assert_same(ours: Any, theirs: Any) -> None:
    assert not isinstance(ours, Exception), ours
    assert type(ours) is type(theirs)
    if isinstance(theirs, pd.DataFrame):
        assert list(ours.columns) == list(theirs.columns)
        for name in theirs.columns:
            _assert_same_column(ours[name], theirs[name])
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            _assert_same(ours[name], theirs[name])
    elif scipy.sparse.issparse(theirs):
        assert (ours != theirs).nnz == 0
    else:
        np.testing.assert_array_equal(ours, theirs)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype


def _assert_same_column(ours: pd.Series[Any], theirs: pd.Series[Any]) -> None:
    if object in (theirs.dtype, ours.dtype):
        assert [_plain(value) for value in ours] == [_plain(value) for value in theirs]
    else:
        pd.testing.assert_series_equal(ours, theirs, check_index=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    is_missing = value is None or value is pd.NA or value != value  # noqa: PLR0124  (NaN)
    return None if is_missing or value == "NaT" else value


EXAMPLES: dict[str, Any] = {
    "frame": FRAME[["long", "double", "bool", "text", "time", "blob", "lists", "records"]],
    "numbered": pd.DataFrame(np.arange(6.0).reshape(2, 3)),
    "array": np.array([[1.5, np.nan], [2.5, 3.5]]),
    "floats": np.array([[1.5], [2.5]], "f4"),
    "integers": np.array([1, 2]),
    "arrays": {"a": np.zeros((2, 3)), "b": np.array([1, 2], "i4")},
    "csr": scipy.sparse.csr_matrix(np.array([[0, 1.5], [2.5, 0]])),
    "csc": scipy.sparse.csc_matrix(np.array([[0, 1.5], [2.5, 0]], "f4")),
    "dict": {"a": 1, "b": "x", "c": [1.5, 2.5]},
    "chat": CHAT,
    "list": ["a", "b"],
    "records": [{"a": 1}, {"a": 2}],
    "text": "hello",
    "number": 2.5,
    "blob": b"abc" * 40,
    "time": DAY,
    "with params": (pd.DataFrame({"a": [1.5]}), {"k": 3}),
    "chat with params": ({"prompt": "hi"}, {"n": 3}),
    "list with params": (["a"], {"k": 0.5, "s": ["x"]}),
}


# MLflow's scoring knows no sparse matrices, and leaves bytes alone in the base64 that they came in.
NOT_SERVED = ("csr", "csc", "blob")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_written_as_mlflow_writes_them(name: str, tmp_path: Path) -> None:
    theirs = _Example(EXAMPLES[name])
    info = save_example(EXAMPLES[name], tmp_path)
    assert info == theirs.info
    data = json.loads((tmp_path / "input_example.json").read_text())
    assert _plain(data) == _plain(json.loads(theirs.json_input_example))
    serving = json.loads((tmp_path / "serving_input_example.json").read_text())
    assert _plain(serving) == _plain(json.loads(theirs.json_serving_input))
    made = convert_input_example_to_serving_input(EXAMPLES[name])
    assert json.loads(str(made)) == serving


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_read_as_mlflow_reads_them(name: str, tmp_path: Path) -> None:
    data, params = EXAMPLES[name] if isinstance(EXAMPLES[name], tuple) else (EXAMPLES[name], None)
    signature = infer_signature(data, None, params)
    info = save_example(EXAMPLES[name], tmp_path)
    model = MlflowModel(
        signature=MlflowSignature.from_dict(signature.to_dict()), saved_input_example_info=info
    )
    theirs = _read_example(model, str(tmp_path))
    _assert_same(load_example(tmp_path, info, signature), theirs)
    assert load_example_params(tmp_path, info) == _read_example_params(model, str(tmp_path))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in NOT_SERVED])
def test_a_request_is_decoded_and_enforced_as_mlflow_does(name: str) -> None:
    data, params = EXAMPLES[name] if isinstance(EXAMPLES[name], tuple) else (EXAMPLES[name], None)
    signature = infer_signature(data, None, params)
    request = str(convert_input_example_to_serving_input(EXAMPLES[name]))
    mine = decode_payload(request, signature)
    ours = enforce_input(mine.data, signature)
    their_signature = MlflowSignature.from_dict(signature.to_dict())
    their_model = MlflowModel(signature=their_signature)
    parsed = _try(lambda: _parse_json_data(request, their_model, their_signature.inputs))
    theirs = (
        parsed
        if isinstance(parsed, Exception)
        else _try(lambda: _enforce_schema(parsed.data, their_signature.inputs))
    )
    if not isinstance(theirs, Exception):
        _assert_same(ours, theirs)
        assert (mine.params or {}) == (parsed.params or {})
        assert mine.is_unwrapped == parsed.is_unified_llm_input
