"""Input examples in a model folder; beside MLflow they are checked in frameworks/."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from pydantic import BaseModel

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_input
from headrace.models.examples import (
    check_example,
    convert_input_example_to_serving_input,
    load_example,
    load_example_params,
    save_example,
    split_params,
)
from headrace.models.payload import decode_payload
from headrace.models.signature import infer_signature

NOON = dt.datetime(2020, 1, 2, 12)  # noqa: DTZ001  (a signature's times have no zone)


class Question(BaseModel):
    text: str
    tags: list[str] = []


FRAME = pd.DataFrame(
    {
        "i": [1, 2],
        "f": [1.5, None],
        "s": ["a", None],
        "b": [b"\x00\xff", b"x" * 100],
        "t": [NOON, None],
        "l": [[1.5], [2.5]],
        "o": [{"when": NOON, "raw": b"y"}, {"when": NOON, "raw": b"z"}],
    }
)


def round_trip(example: Any, folder: Path) -> Any:
    signature = infer_signature(split_params(example)[0])
    info = save_example(example, folder)
    return load_example(folder, info, signature)


def test_a_table_comes_back_with_its_types(tmp_path: Path) -> None:
    found = round_trip(FRAME, tmp_path)
    expected = FRAME.assign(t=FRAME["t"].astype("datetime64[ns]"))
    pd.testing.assert_frame_equal(found, expected)
    enforce_input(found, infer_signature(FRAME))


def test_the_files_are_json_that_everyone_reads(tmp_path: Path) -> None:
    save_example(FRAME, tmp_path)
    for name in ("input_example.json", "serving_input_example.json"):
        json.loads((tmp_path / name).read_text(), parse_constant=pytest.fail)
    data = json.loads((tmp_path / "input_example.json").read_text())["data"]
    assert data[1][1:3] == [None, None]
    assert data[0][4] == "2020-01-02T12:00:00"
    assert base64.decodebytes(data[1][3].encode()) == b"x" * 100


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, np.nan]]),
        np.array([1, 2], "i2"),
        np.array(["a", "bc"]),
        np.array([True]),
        np.array(["2020-01-02T03"], "M8[ns]"),
    ],
)
def test_arrays_come_back_with_their_types(array: Any, tmp_path: Path) -> None:
    found = round_trip(array, tmp_path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    named = round_trip({"a": array}, tmp_path)
    np.testing.assert_array_equal(named["a"], array)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
def test_sparse_matrices_come_back(kind: str, tmp_path: Path) -> None:
    matrix = getattr(scipy.sparse, kind)(np.array([[0, 1.5], [2.5, 0]], "f4"))
    found = round_trip(matrix, tmp_path)
    assert found.format == matrix.format
    assert found.dtype == matrix.dtype
    assert (found != matrix).nnz == 0


def test_what_other_libraries_and_pydantic_hold(tmp_path: Path) -> None:
    table = round_trip(pl.DataFrame({"a": [1], "s": ["x"]}), tmp_path)
    pd.testing.assert_frame_equal(table, pd.DataFrame({"a": [1], "s": ["x"]}))
    assert list(round_trip(pd.Series([1, 2], name="a"), tmp_path).columns) == ["a"]
    assert round_trip(Question(text="a"), tmp_path) == {"text": "a", "tags": []}
    assert round_trip([Question(text="a")], tmp_path) == [{"text": "a", "tags": []}]


def test_params_go_with_the_example(tmp_path: Path) -> None:
    info = save_example((["a"], {"n": 3, "t": np.float32(0.5)}), tmp_path)
    assert info["params"] == "true"
    assert load_example(tmp_path, info) == ["a"]
    assert load_example_params(tmp_path, info) == {"n": 3, "t": 0.5}
    assert load_example_params(tmp_path, save_example(["a"], tmp_path)) is None
    request = json.loads((tmp_path / "serving_input_example.json").read_text())
    assert request == {"inputs": ["a"]}


def test_questions_to_language_models_are_requests_as_they_are() -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    text = convert_input_example_to_serving_input((chat, {"n": 2}))
    assert json.loads(str(text)) == {**chat, "n": 2}
    assert convert_input_example_to_serving_input(None) is None


@pytest.mark.parametrize(
    "example",
    [FRAME, np.ones((2, 3), "f4"), {"a": 1, "b": ["x"]}, ["a", "b"], "a", 2.5, [{"a": 1}]],
)
def test_the_request_of_an_example_is_decoded_to_it(example: Any) -> None:
    signature = infer_signature(example)
    request = convert_input_example_to_serving_input(example)
    decoded = enforce_input(decode_payload(str(request), signature).data, signature)
    wanted = enforce_input(example, signature)
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(decoded, wanted)
    else:
        np.testing.assert_array_equal(decoded, wanted)


@pytest.mark.parametrize("example", [{"a": np.ones(1), "b": 1}, object(), {"a": {1, 2}}, [1j]])
def test_an_example_that_cannot_be_kept_leaves_no_file(example: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        save_example(example, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_example_that_holds_itself_is_refused(tmp_path: Path) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        save_example(circle, tmp_path)


def test_an_example_is_checked_against_a_signature() -> None:
    signature = infer_signature(pd.DataFrame({"a": [1]}), None, {"n": 1})
    check_example((pd.DataFrame({"a": [2]}), {"n": 3}), signature)
    with pytest.raises(InvalidRequest, match=r"example does not fit .* column 'a'.*leave the"):
        check_example(pd.DataFrame({"a": ["x"]}), signature)
    with pytest.raises(InvalidRequest, match="'n' must be long"):
        check_example((pd.DataFrame({"a": [2]}), {"n": "x"}), signature)


@pytest.mark.parametrize(
    ("info", "content", "part"),
    [
        ({"artifact_path": "../secret.json", "type": "json_object"}, "1", "outside"),
        ({"artifact_path": "/etc/passwd", "type": "json_object"}, "1", "outside"),
        ({"artifact_path": "gone.json", "type": "json_object"}, "1", "missing"),
        ({"type": "json_object"}, "{", "no JSON"),
        ({"type": "json_object"}, "[" * 100_000, "no JSON"),
        ({"type": "pickle"}, "1", "unknown type: 'pickle'"),
        ({"type": "dataframe"}, "[1]", "no 'data'"),
        ({"type": "dataframe"}, '{"data": [[1]], "columns": ["a", "b"]}', "1 values for 2 columns"),
        ({"type": "dataframe"}, '{"data": 1}', "is no list"),
        ({"type": "dataframe"}, '{"data": [[1]], "columns": 1}', "no table"),
        ({"type": "ndarray"}, '["x"]', "no array of float64"),
        ({"type": "sparse_matrix_csr"}, '{"data": []}', "no 'indices'"),
        (
            {"type": "sparse_matrix_csr"},
            '{"data": [1], "indices": [9], "indptr": [0, 1], "shape": [1, 1]}',
            "no sparse matrix",
        ),
        ({"type": "json_object", "params": "true"}, "[1]", "no 'inputs'"),
    ],
)
def test_a_broken_example_is_a_clear_error(
    info: dict[str, Any], content: str, part: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.json").write_text("1")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "input_example.json").write_text(content)
    with pytest.raises(InvalidRequest, match=part):
        load_example(folder, info, infer_signature(np.ones(1)))


class Verified:
    """A folder that is read by names only."""

    def read(self, name: str) -> bytes:
        return json.dumps({"read": name}).encode()


def test_an_example_is_read_through_what_checks_its_bytes() -> None:
    found = load_example(Verified(), {"artifact_path": "e.json", "type": "json_object"})
    assert found == {"read": "e.json"}
