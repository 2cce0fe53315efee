from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import Completion, Generated
from headrace.models.flavors.openai_engine import Engine
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import Finished, Generation, GenerationEngine, Piece
from headrace.serving.engines.interleaved import Interleaved
from headrace.serving.engines.loop import ContinuousLoop
from headrace.testing.generation import (
    GREEDY,
    Conversation,
    GenerationEngineContract,
    alone,
    asked,
    told_of,
)
from tests.serving.engines.made_decoder import KNOWN, MadeDecoder


class OneAtATime(Engine):
    """Answers one request after the other, each with a model of its own."""

    model_name = "one"

    def __init__(self) -> None:
        self.open = 0
        """How many streams are."""
        self.streams = True

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        return MadeDecoder().render(messages, tools)

    def generate(self, prompt: str, sampling: Sampling, *, is_chat: bool) -> Generated:
        told = alone(ContinuousLoop(MadeDecoder()), Generation(1, sampling, prompt=prompt))
        end = told.ends[0]
        return Generated(len(prompt), (Completion(told.text(), end.tokens, end.reason),))

    def stream(
        self, prompt: str, sampling: Sampling, *, is_chat: bool
    ) -> Generator[str | Completion, None, None]:
        if not self.streams:
            raise InvalidRequest("Not piece by piece.")
        return self._pieces(prompt, sampling)

    def _pieces(self, prompt: str, sampling: Sampling) -> Generator[str | Completion, None, None]:
        if "%" in prompt:
            raise ZeroDivisionError("at this prompt\nand more")
        engine = ContinuousLoop(MadeDecoder())
        engine.add(Generation(1, sampling, prompt=prompt))
        self.open += 1
        try:
            while not engine.is_idle:
                for event in engine.step():
                    if isinstance(event, Piece):
                        yield event.text
                    elif isinstance(event, Finished):
                        yield Completion("", event.tokens, event.reason)
        finally:
            self.open -= 1


def interleaved(engine: Engine, slots: int = 3) -> Interleaved:
    decoder = MadeDecoder()
    return Interleaved(
        engine,
        lambda text, is_rendered: len(decoder.encode(text, is_rendered=is_rendered)),
        context_length=400,
        slots=slots,
    )


class TestInterleaved(GenerationEngineContract):
    @pytest.fixture
    def engine(self) -> GenerationEngine:
        return interleaved(OneAtATime())

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return KNOWN


def test_choices_take_turns() -> None:
    engine = OneAtATime()
    talk = Conversation(interleaved(engine))
    talk.add(*(asked(key, "Which town?") for key in range(4)))
    talk.step()
    assert [bool(talk.told[key].pieces) for key in range(4)] == [True, True, True, False]
    assert engine.open == 3
    talk.cancel(1)
    assert engine.open == 2
    talk.finish()
    assert engine.open == 0


def test_requests_take_turns_however_many_choices_they_ask_for() -> None:
    talk = Conversation(interleaved(OneAtATime(), slots=2))
    talk.add(asked(1, "Who?", replace(GREEDY, n=8)), asked(2, "Who?"), asked(3, "Who?"))
    over = []
    while not talk.engine.is_idle:
        over += [event.key for event in talk.step() if isinstance(event, Finished)]
    assert over == [1, 2, 3, *[1] * 7]


def test_what_cannot_come_in_pieces_comes_as_a_whole() -> None:
    engine = OneAtATime()
    engine.streams = False
    told = alone(interleaved(engine), asked(1, "Which town?"))
    assert told.pieces == {0: [KNOWN["Which town?"]]}
    assert told.answer() == alone(ContinuousLoop(MadeDecoder()), asked(1, "Which town?")).answer()


def test_what_the_model_raises_is_one_requests_refusal(caplog: pytest.LogCaptureFixture) -> None:
    broken = Generation(2, replace(GREEDY, n=2), prompt="50 %")
    told = told_of(interleaved(OneAtATime()), [asked(1, "Who?"), broken, asked(3, "Who?")])
    refused = told[2].refused
    assert refused is not None
    assert refused.code == "INTERNAL_ERROR"
    assert refused.message == "The model raised ZeroDivisionError: at this prompt"
    assert "Traceback" in caplog.text
    assert told[1].text() == told[3].text() == KNOWN["Who?"]


def test_what_the_engine_does_not_have_is_refused() -> None:
    for sampling in (replace(GREEDY, logprobs=0), replace(GREEDY, logit_bias=((1, 1.0),))):
        refused = alone(interleaved(OneAtATime()), asked(1, "Who?", sampling)).refused
        assert refused is not None
        assert "neither 'logprobs' nor 'logit_bias'" in refused.message
