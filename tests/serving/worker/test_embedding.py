from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import pyfunc
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call
from headrace.serving.worker.embedding import embedded


class Lengths(pyfunc.PythonModel):
    """Embeds a text as its length and how many texts came with it; it does not take the text
    "bad".
    """

    def predict(self, context: Any, model_input: Any) -> Any:
        texts = model_input["input"]
        if "bad" in texts:
            raise RuntimeError("bad text")
        if "worse" in texts:
            return {"data": []}
        vectors = [[len(text), 0.1, len(texts)] for text in texts]
        rows = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        return [{"object": "list", "data": rows, "usage": {"prompt_tokens": 7}}]


class Tokenizing(Lengths):
    """One that shows how it counts tokens."""

    def tokenizer(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [1] * len(text.split())}


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[Lengths], PyFuncModel]:
    def load(model: Lengths) -> PyFuncModel:
        pyfunc.save_model(tmp_path / "model", python_model=model)
        found: PyFuncModel = pyfunc.load_model(str(tmp_path / "model"), trust=True)
        return found

    return load


def call(*texts: str, is_base64: bool = False, dimensions: int | None = None) -> Call:
    asked = {"texts": texts, "model": "m", "is_base64": is_base64, "dimensions": dimensions}
    return Call("embeddings", json.dumps(asked).encode())


def test_the_texts_of_several_calls_are_embedded_together(
    loaded: Callable[[Lengths], PyFuncModel],
) -> None:
    """Each call gets its own vectors, and the count of its own tokens."""
    first, second = embedded(loaded(Tokenizing()), [call("a b", "ccccc"), call("d e f")])
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    told, other = json.loads(first.body), json.loads(second.body)
    assert [each["embedding"] for each in told["data"]] == [[3.0, 0.1, 3.0], [5.0, 0.1, 3.0]]
    assert [each["index"] for each in told["data"]] == [0, 1]
    assert told["model"] == "m"
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [each["embedding"] for each in other["data"]] == [[5.0, 0.1, 3.0]]
    assert other["usage"]["prompt_tokens"] == 3


def test_a_call_fails_alone(loaded: Callable[[Lengths], PyFuncModel]) -> None:
    calls = [call("a"), call("bad"), call("b"), call("worse")]
    answers = list(embedded(loaded(Tokenizing()), calls))
    assert [isinstance(each, Answered) for each in answers] == [True, False, True, False]
    failed, nonsense = answers[1], answers[3]
    assert not isinstance(failed, Answered)
    assert "RuntimeError: bad text" in failed.message
    assert "Traceback" in (failed.trace or "")
    assert not isinstance(nonsense, Answered)
    assert "an 'embedding' for each" in nonsense.message


def test_models_that_show_no_tokenizer_count_by_themselves(
    loaded: Callable[[Lengths], PyFuncModel],
) -> None:
    """So they are asked one call at a time."""
    for each in embedded(loaded(Lengths()), [call("a"), call("b", "c")]):
        assert isinstance(each, Answered)
        told = json.loads(each.body)
        assert told["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        assert told["data"][0]["embedding"][2] == len(told["data"])


def test_base64_holds_small_floats(loaded: Callable[[Lengths], PyFuncModel]) -> None:
    (answer,) = embedded(loaded(Lengths()), [call("abc", is_base64=True, dimensions=3)])
    assert isinstance(answer, Answered)
    text = json.loads(answer.body)["data"][0]["embedding"]
    assert array("f", base64.b64decode(text)).tolist() == pytest.approx([3.0, 0.1, 1.0])


def test_other_dimensions_are_refused(loaded: Callable[[Lengths], PyFuncModel]) -> None:
    (answer,) = embedded(loaded(Lengths()), [call("abc", dimensions=2)])
    assert not isinstance(answer, Answered)
    assert "vectors of 3 only" in answer.message
