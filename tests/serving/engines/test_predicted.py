from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace import pyfunc
from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS, EMBEDDINGS, Sampling
from headrace.models.flavors.openai_signatures import signature_of_task
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.engines.base import Generation
from headrace.serving.engines.choice import ENGINES, engine_for
from headrace.serving.engines.predicted import PredictedEngine
from headrace.testing.generation import Conversation, Told, alone
from tests.serving.conversing import save_chatty


def loaded(folder: Path) -> PyFuncModel:
    return pyfunc.load_model(str(folder), trust=True)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> PredictedEngine:
    folder = save_chatty(tmp_path_factory.mktemp("models") / "chatty")
    return PredictedEngine(loaded(folder), "chatty")


def said(text: str, *, key: int = 1, is_streamed: bool = False, **sampling: Any) -> Generation:
    messages = [{"role": "user", "content": text}]
    return Generation(key, Sampling(**sampling), messages, is_streamed=is_streamed)


@pytest.mark.parametrize("is_streamed", [False, True])
class TestPieces:
    def test_texts_and_chunks_are_both_taken(
        self, engine: PredictedEngine, is_streamed: bool
    ) -> None:
        told = alone(engine, said("say one two three", is_streamed=is_streamed))
        assert told.answer()[:2] == ("one two three", "stop")
        assert len(told.pieces[0]) == (3 if is_streamed else 1)
        assert engine.is_idle

    def test_the_model_says_that_it_was_cut(
        self, engine: PredictedEngine, is_streamed: bool
    ) -> None:
        told = alone(engine, said("length one two", is_streamed=is_streamed))
        assert told.answer()[:2] == ("one two", "length")

    @pytest.mark.parametrize("stop", ["two", "e t", "o three", "four", "thre"])
    def test_stop_texts_are_cut_across_pieces(
        self, engine: PredictedEngine, is_streamed: bool, stop: str
    ) -> None:
        told = alone(engine, said("length one two three", is_streamed=is_streamed, stop=(stop,)))
        text, reason, _ = told.answer()
        assert text == "one two three".partition(stop)[0]
        assert reason == ("length" if stop == "four" else "stop")

    def test_each_choice_is_asked_for(self, engine: PredictedEngine, is_streamed: bool) -> None:
        told = alone(engine, said("say one two", is_streamed=is_streamed, n=3))
        assert [told.text(index) for index in range(3)] == ["one two"] * 3

    @pytest.mark.parametrize(
        ("what", "says"), [("raise", "RuntimeError: as it was asked to"), ("tools", "calls of")]
    )
    def test_what_the_model_cannot_do_is_refused(
        self, engine: PredictedEngine, is_streamed: bool, what: str, says: str
    ) -> None:
        refused = alone(engine, said(what, is_streamed=is_streamed)).refused
        assert refused is not None
        assert says in refused.message
        assert alone(engine, said("say hi")).text() == "hi"

    def test_a_long_text_comes_in_pieces_that_frames_take(
        self, engine: PredictedEngine, is_streamed: bool
    ) -> None:
        text = "x" * 600_000
        told = alone(engine, said(f"say {text}", is_streamed=is_streamed))
        assert told.text() == text
        assert len(told.pieces[0]) == 3

    def test_what_the_model_raises_is_cut(
        self, engine: PredictedEngine, is_streamed: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        refused = alone(engine, said(f"raise {'x' * 90_000} end", is_streamed=is_streamed)).refused
        assert refused is not None
        assert refused.message.endswith("xx end")
        assert len(refused.message) < 2_100
        assert len(caplog.text) < 22_000

    @pytest.mark.parametrize("asked", [{"logprobs": 0}, {"logit_bias": ((1, 2.0),)}])
    def test_what_it_does_not_have_is_refused(
        self, engine: PredictedEngine, is_streamed: bool, asked: dict[str, Any]
    ) -> None:
        assert alone(engine, said("say hi", is_streamed=is_streamed, **asked)).refused is not None

    def test_requests_are_answered_in_turn(
        self, engine: PredictedEngine, is_streamed: bool
    ) -> None:
        conversation = Conversation(engine)
        texts = {1: "a b c", 2: "d", 3: "e f"}
        for key, text in texts.items():
            conversation.add(said(f"say {text}", key=key, is_streamed=is_streamed))
        conversation.cancel(2)
        told = conversation.finish()
        assert [told[key].text() for key in (1, 3)] == ["a b c", "e f"]
        assert conversation.started == [1, 3]


def test_an_answer_that_is_none_is_refused(engine: PredictedEngine) -> None:
    refused = alone(engine, said("nonsense")).refused
    assert refused is not None
    assert "dict with 'answer'" in refused.message


def test_usage_is_the_models(engine: PredictedEngine) -> None:
    told: Told = alone(engine, said("say one two three"))
    assert told.prompt_tokens == 5
    assert told.ends[0].tokens == 3


def test_the_model_is_told_what_was_said_and_nothing_else(engine: PredictedEngine) -> None:
    plain = json.loads(alone(engine, said("request")).text())
    assert plain == {"messages": [{"role": "user", "content": "request"}]}
    everything = Sampling(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        frequency_penalty=1.0,
        presence_penalty=-1.0,
        seed=7,
        stop=("\0",),
        n=2,
    )
    asked = replace(said("request"), sampling=everything, tools=[{"type": "function"}])
    told = alone(engine, asked)
    first, second = (json.loads(told.text(index)) for index in range(2))
    assert first == {
        **plain,
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "frequency_penalty": 1.0,
        "presence_penalty": -1.0,
        "seed": 7,
        "stop": ["\0"],
        "tools": [{"type": "function"}],
    }
    assert second == {**first, "seed": 8}, "each choice is another one, and the same each time"
    prompt = alone(engine, Generation(1, Sampling(), prompt="say hi"))
    assert prompt.text() == "hi"


def test_a_seed_goes_where_the_tasks_signature_has_a_place(tmp_path: Path) -> None:
    pyfunc.save_model(tmp_path / "model", python_model=Echo(), signature=signature_of_task(CHAT))
    engine = PredictedEngine(loaded(tmp_path / "model"), "echo")
    told = json.loads(alone(engine, said("hi", seed=3)).text())
    assert told["custom_inputs"] == {"seed": 3}


def test_a_stream_that_is_given_up_is_closed(tmp_path: Path) -> None:
    """Also one whose code raises then."""
    mark = str(tmp_path / "closed")

    class Streams(pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any) -> str:
            return "whole"

        def predict_stream(self, context: Any, model_input: Any) -> Iterator[str]:
            try:
                while True:
                    yield "a"
            finally:
                Path(mark).touch()
                raise RuntimeError

    pyfunc.save_model(tmp_path / "model", python_model=Streams())
    conversation = Conversation(PredictedEngine(loaded(tmp_path / "model"), "streams"))
    conversation.add(said("hi", is_streamed=True))
    conversation.until_piece(1)
    assert not Path(mark).exists()
    conversation.cancel(1)
    assert Path(mark).exists()
    assert conversation.engine.is_idle


class Echo(pyfunc.PythonModel):
    def predict(self, context: Any, model_input: Any) -> str:
        rows = model_input.to_dict("records") if hasattr(model_input, "columns") else model_input
        return json.dumps(rows[0] if isinstance(rows, list) else rows, default=str)


class TestChoice:
    @pytest.mark.parametrize("task", [None, EMBEDDINGS, "llm/v1/other"])
    def test_other_models_make_no_text(self, tmp_path: Path, task: str | None) -> None:
        model = loaded(save_chatty(tmp_path / "model", task))
        assert engine_for(model, "auto", slots=2) is None
        for name in set(ENGINES) - {"auto"}:
            with pytest.raises(InvalidRequest, match="no task that asks for it"):
                engine_for(model, name, slots=2)

    @pytest.mark.parametrize("task", [CHAT, COMPLETIONS])
    def test_python_models_are_predicted(self, tmp_path: Path, task: str) -> None:
        model = loaded(save_chatty(tmp_path / "model", task))
        for name in ("auto", "plain"):
            assert isinstance(engine_for(model, name, slots=2), PredictedEngine)
        for name, flavor in (
            ("transformers", "transformers"),
            ("onnxruntime", "onnxruntime_genai"),
            ("vllm", "transformers"),
        ):
            with pytest.raises(InvalidRequest, match=f"flavor {flavor}; this one has: python_fun"):
                engine_for(model, name, slots=2)
        with pytest.raises(InvalidRequest, match="expected one of: auto, transformers"):
            engine_for(model, "llama", slots=2)
