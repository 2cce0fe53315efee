"""The Open Inference Protocol: what models of all kinds get of tensors, and give back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from headrace.models.signature import ModelSignature
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.scoring import Scorer

TABLE = ModelSignature(
    Schema(
        [
            ColSpec("double", "x"),
            ColSpec("string", "s"),
            ColSpec("binary", "b", required=False),
            ColSpec("datetime", "t", required=False),
            ColSpec("boolean", "f", required=False),
        ]
    )
)


class Told(pyfunc.PythonModel):
    """Answers by a function of its input."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.seen: list[Any] = []

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """What the function says."""
        self.seen.append((model_input, params))
        return self.function(model_input)


class Made:
    """A model that was saved and loaded, asked by tensors."""

    def __init__(self, folder: Path, function: Any, signature: Any = None, **more: Any) -> None:
        pyfunc.save_model(folder, python_model=Told(function), signature=signature, **more)
        loaded = pyfunc.load_model(str(folder), trust=True)
        self.native: Any = loaded.native
        self.scorer = Scorer(loaded)

    def ask(self, *inputs: dict[str, Any], **more: Any) -> Any:
        """The answer's JSON, or Failed."""
        (answer,) = self.scorer.answer([call({"inputs": [*inputs], **more})])
        return answer if isinstance(answer, Failed) else json.loads(answer.body)

    def saw(self, *inputs: dict[str, Any], **more: Any) -> Any:
        """What the model is given."""
        self.native.seen.clear()
        answer = self.ask(*inputs, **more)
        assert not isinstance(answer, Failed), answer
        return self.native.seen[0][0]


def call(request: Any, binary: bytes | None = None) -> Call:
    head = json.dumps(request).encode()
    size = None if binary is None else len(head)
    options = {"model": "m", "version": "3", "header": size}
    return Call("infer", head + (binary or b""), options=options)


def tensor(name: str, datatype: str, data: Any, *shape: int, **parameters: Any) -> dict[str, Any]:
    found = {"name": name, "datatype": datatype, "shape": [*shape] or [len(data)], "data": data}
    return {**found, "parameters": parameters} if parameters else found


def count(given: Any) -> Any:
    return np.arange(len(given), dtype="int64")


def test_columns_come_by_name(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", count, TABLE)
    table = made.saw(
        tensor("s", "BYTES", ["a", "ä"], 2, 1),
        tensor("x", "INT32", [1, 2]),
        tensor("f", "BOOL", [True, False]),
        tensor("t", "BYTES", ["2020-01-02T03:04:05", "2020-01-02"]),
        tensor("b", "BYTES", [base64.b64encode(b"\xff").decode(), ""], content_type="base64"),
    )
    assert [*table.columns] == ["x", "s", "b", "t", "f"]
    assert table.to_dict("list") == {
        "x": [1.0, 2.0],
        "s": ["a", "ä"],
        "b": [b"\xff", b""],
        "t": [pd.Timestamp("2020-01-02T03:04:05"), pd.Timestamp("2020-01-02")],
        "f": [True, False],
    }


def test_one_tensor_of_two_axes_is_the_whole_table(tmp_path: Path) -> None:
    signature = ModelSignature(Schema([ColSpec("double", "a"), ColSpec("long", "b")]))
    made = Made(tmp_path / "m", count, signature)
    table = made.saw(tensor("input-0", "FP64", [1, 2, 3, 4], 2, 2))
    assert table.to_dict("list") == {"a": [1.0, 3.0], "b": [2, 4]}
    failed = made.ask(tensor("input-0", "FP64", [1, 2, 3], 1, 3))
    assert (failed.status, failed.trace) == (400, None)


def test_models_of_tensors_get_them(tmp_path: Path) -> None:
    one = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))]))
    made = Made(tmp_path / "one", count, one)
    array = made.saw(tensor("whatever", "FP32", [1, 2, 3, 4], 2, 2))
    assert (array.dtype, array.tolist()) == ("float32", [[1, 2], [3, 4]])
    assert "float32" in made.ask(tensor("x", "FP64", [1, 2], 1, 2)).message
    assert "takes one" in made.ask(tensor("x", "FP32", [1]), tensor("y", "FP32", [1])).message
    named = ModelSignature(
        Schema([TensorSpec(np.dtype("int64"), (-1,), "a"), TensorSpec(np.dtype("str"), (-1,), "b")])
    )
    made = Made(tmp_path / "named", lambda given: count(given["a"]), named)
    arrays = made.saw(
        tensor("b", "BYTES", ["ä"]), tensor("a", "INT64", [1]), tensor("c", "INT8", [1])
    )
    assert {name: each.tolist() for name, each in arrays.items()} == {"a": [1], "b": ["ä"]}
    assert "'b'" in made.ask(tensor("a", "INT64", [1])).message


def test_without_a_signature_one_tensor_is_an_array_and_several_are_a_table(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", count)
    assert made.saw(tensor("x", "INT8", [1, 2], 1, 2)).tolist() == [[1, 2]]
    table = made.saw(tensor("x", "INT8", [1, 2]), tensor("y", "BYTES", ["a", "b"]))
    assert table.to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}
    for more in ({"parameters": {"content_type": "pd"}}, {}):
        kind = {} if more else {"content_type": "pd"}
        table = made.saw(tensor("x", "INT8", [1, 2], **kind), **more)
        assert table.to_dict("list") == {"x": [1, 2]}


class Hinted(pyfunc.PythonModel):
    """Takes texts."""

    def predict(self, model_input: list[str]) -> list[str]:
        """In capitals."""
        return [text.upper() for text in model_input]


def test_models_with_hints_get_a_list(tmp_path: Path) -> None:
    pyfunc.save_model(tmp_path / "m", python_model=Hinted())
    scorer = Scorer(pyfunc.load_model(str(tmp_path / "m"), trust=True))
    (answer,) = scorer.answer([call({"inputs": [tensor("x", "BYTES", ["a", "b"])]})])
    assert isinstance(answer, Answered)
    (output,) = json.loads(answer.body)["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == ("BYTES", [2], ["A", "B"])


def test_parameters_that_the_signature_names_are_the_models(tmp_path: Path) -> None:
    signature = ModelSignature(TABLE.inputs, params=ParamSchema([ParamSpec("k", "long", 1)]))
    made = Made(tmp_path / "m", count, signature)
    inputs = tensor("x", "FP64", [1.0]), tensor("s", "BYTES", ["a"])
    made.ask(*inputs, parameters={"k": 5, "other": 1})
    assert made.native.seen[-1][1] == {"k": 5}
    assert "'k'" in made.ask(*inputs, parameters={"k": "x"}).message


def test_binary_data_comes_and_goes(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", lambda given: given * 2)
    values = np.array([[1.5, 2.5]], dtype="float32")
    told = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    for request in (
        {"inputs": [told], "parameters": {"binary_data_output": True}},
        {"inputs": [told], "outputs": [{"name": "output-0", "parameters": {"binary_data": True}}]},
    ):
        (answer,) = made.scorer.answer([call(request, values.tobytes())])
        assert isinstance(answer, Answered)
        size = int(answer.headers["inference-header-content-length"])
        head = json.loads(answer.body[:size])
        assert head["outputs"][0]["parameters"] == {"binary_data_size": 8}
        assert np.frombuffer(answer.body[size:], "<f4").tolist() == [3, 5]
        assert answer.content_type == "application/octet-stream"


def test_the_answer_says_whose_it_is(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", count)
    assert made.ask(tensor("x", "INT8", [5, 6]), id="a-1") == {
        "model_name": "m",
        "model_version": "3",
        "id": "a-1",
        "outputs": [{"name": "output-0", "datatype": "INT64", "shape": [2], "data": [0, 1]}],
    }


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (
            lambda given: pd.DataFrame({"a": given, "b": "x"}),
            [("a", "INT8", [2, 1]), ("b", "BYTES", [2, 1])],
        ),
        (pd.Series, [("output-0", "INT8", [2])]),
        (
            lambda given: {"a": given, "b": given[:, None]},
            [("a", "INT8", [2]), ("b", "INT8", [2, 1])],
        ),
        (lambda given: [0.5, 1], [("output-0", "FP64", [2])]),
        (lambda given: [True, False], [("output-0", "BOOL", [2])]),
        (lambda given: ["a", {"b": 1}], [("output-0", "BYTES", [2])]),
        (lambda given: {"a": 1}, [("output-0", "BYTES", [1])]),
        (lambda given: "text", [("output-0", "BYTES", [1])]),
        (lambda given: None, [("output-0", "BYTES", [1])]),
        (lambda given: np.float16(1), [("output-0", "BYTES", [1])]),
    ],
)
def test_predictions_of_every_kind_are_tensors(tmp_path: Path, function: Any, wanted: Any) -> None:
    made = Made(tmp_path / "m", function)
    found = made.ask(tensor("x", "INT8", [1, 2]))["outputs"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in found] == wanted


def test_outputs_can_be_chosen(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", lambda given: {"a": given, "b": given})
    found = made.ask(tensor("x", "INT8", [1]), outputs=[{"name": "b"}])["outputs"]
    assert [each["name"] for each in found] == ["b"]
    failed = made.ask(tensor("x", "INT8", [1]), outputs=[{"name": "c"}])
    assert "'c'" in failed.message
    assert "a, b" in failed.message


def test_the_only_output_has_the_name_of_the_signature(tmp_path: Path) -> None:
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("int8"), (-1,))]), Schema([ColSpec("long", "score")])
    )
    found = Made(tmp_path / "m", count, signature).ask(tensor("x", "INT8", [1]))
    assert found["outputs"][0]["name"] == "score"


def test_tensors_are_predicted_together_and_with_other_formats(tmp_path: Path) -> None:
    made = Made(tmp_path / "m", lambda given: given.sum(axis=1))
    calls = [
        call({"inputs": [tensor("x", "FP64", [1, 2], 1, 2)]}),
        call({"inputs": [tensor("x", "FP64", [3, 4, 5, 6], 2, 2)], "id": "b"}),
        Call("invocations", b'{"inputs": [[0.5, 0.5]]}'),
    ]
    for _ in range(5):
        made.native.seen.clear()
        bodies = [json.loads(each.body) for each in made.scorer.answer(calls)]  # type: ignore[union-attr]  # none fails
        assert [body["outputs"][0]["data"] for body in bodies[:2]] == [[3], [7, 11]]
        assert bodies[2] == {"predictions": [1.0]}
    assert len(made.native.seen) == 1


@pytest.mark.parametrize(
    "request_",
    [
        [],
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [1]},
        {"inputs": [tensor("x", "INT8", [1])], "outputs": {}},
        {"inputs": [tensor("x", "INT8", [1])], "outputs": [1]},
        {"inputs": [tensor("x", "INT8", [1])], "outputs": [{}]},
        {"inputs": [tensor("x", "INT8", [1])], "id": 1},
        {"inputs": [tensor("x", "INT8", [1])], "parameters": []},
        {"inputs": [tensor("x", "INT8", [1]), tensor("x", "INT8", [1])]},
        {"inputs": [tensor("x", "INT8", [1]), tensor("y", "INT8", [1, 2])]},
        {"inputs": [tensor("x", "INT8", [1], binary_data_size=1)]},
        {"inputs": [{**tensor("x", "INT8", [1]), "parameters": 1}]},
    ],
)
def test_requests_that_are_none_are_told(tmp_path: Path, request_: Any) -> None:
    made = Made(tmp_path / "m", count)
    (failed,) = made.scorer.answer([call(request_)])
    assert isinstance(failed, Failed)
    assert (failed.status, failed.trace) == (400, None)


@pytest.mark.parametrize(
    "sizes", [(9, 8), (8, 9), (-1, 8), ("8", 8), (True, 1), (7, 8), (2**70, 8)]
)
def test_sizes_of_binary_data_must_be_right(tmp_path: Path, sizes: Any) -> None:
    said, there = sizes
    told = {"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": said}}
    (failed,) = Made(tmp_path / "m", count).scorer.answer([call({"inputs": [told]}, b"\0" * there)])
    assert isinstance(failed, Failed)
    assert (failed.status, failed.trace) == (400, None)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000])
@pytest.mark.parametrize("header", [None, 0, 10**9])
def test_bodies_that_are_no_json_are_told(tmp_path: Path, body: bytes, header: int | None) -> None:
    asked = Call("infer", body, options={"model": "m", "version": "3", "header": header})
    (failed,) = Made(tmp_path / "m", count).scorer.answer([asked])
    assert isinstance(failed, Failed)
    assert (failed.status, failed.trace) == (400, None)
    assert "sys." not in failed.message
