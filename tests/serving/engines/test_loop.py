from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import Finished, Generation, GenerationEngine, Piece, Refused
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


class TestContinuousLoop(GenerationEngineContract):
    @pytest.fixture
    def engine(self) -> GenerationEngine:
        return ContinuousLoop(MadeDecoder())

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return KNOWN


def loop(
    decoder: MadeDecoder | None = None, *, chunk: int | None = None, **config: Any
) -> ContinuousLoop:
    return ContinuousLoop(decoder or MadeDecoder(), config, chunk=chunk)


def test_a_long_prompt_is_taken_in_between_the_tokens_of_others() -> None:
    decoder = MadeDecoder(slots=4, context_length=5000)
    talk = Conversation(loop(decoder, chunk=100))
    talk.add(asked(1, "Who?"))
    talk.until_piece(1)
    decoder.calls.clear()
    brief = replace(GREEDY, max_tokens=3)
    talk.add(Generation(2, brief, prompt="x" * 950), asked(3, "Which town?"))
    told = talk.finish()
    assert told[1].text() == KNOWN["Who?"]
    assert told[3].text() == KNOWN["Which town?"]
    assert told[2].prompt_tokens == 950
    parts = [("prefill", 100)] * 9 + [("prefill", 50)]
    assert decoder.calls[0:20:2] == parts
    assert decoder.calls[1:19:2] == [("step", 1)] * 9
    assert decoder.calls[19] == ("step", 2)


def test_short_prompts_are_taken_in_together_up_to_a_limit() -> None:
    decoder = MadeDecoder(slots=8)
    engine = loop(decoder, chunk=50)
    for key in range(6):
        engine.add(Generation(key, replace(GREEDY, max_tokens=2), prompt="x" * 20))
    engine.step()
    assert decoder.calls == [("prefill", 20), ("prefill", 20), ("step", 2)]


def test_the_answer_of_a_chunked_prompt_is_that_of_the_whole_one() -> None:
    question = max(KNOWN, key=len)
    for chunk in (1, 7, 64):
        assert alone(loop(chunk=chunk), asked(1, question)).text() == KNOWN[question]


def test_a_prompt_that_the_model_raises_at_is_refused_alone() -> None:
    decoder = MadeDecoder()
    decoder.raises_at = ord("%")
    talk = Conversation(loop(decoder))
    talk.add(asked(1, "Who?"))
    talk.until_piece(1)
    broken = Generation(2, replace(GREEDY, n=2), prompt="a % b")
    talk.add(broken, asked(3, "Which town?"), replace(broken, key=4, prompt="%"))
    told = talk.finish()
    for key in (2, 4):
        refused = told[key].refused
        assert refused is not None
        assert refused.code == "INTERNAL_ERROR"
        assert "a token that breaks it" in refused.message
        assert "and more" not in refused.message
    assert told[1].text() == KNOWN["Who?"]
    assert told[3].text() == KNOWN["Which town?"]
    again = told_of(talk.engine, (asked(key, "Who?") for key in range(4)))
    assert [each.text() for each in again.values()] == [KNOWN["Who?"]] * 4


def test_what_the_template_does_not_take_is_refused() -> None:
    messages = [{"role": "assistant", "content": "hello"}]
    told = alone(loop(), Generation(1, GREEDY, messages=messages))
    assert told.refused == Refused(1, "The last message must be the user's.")


def test_what_a_tokenizer_raises_is_one_requests_refusal(caplog: pytest.LogCaptureFixture) -> None:
    talk = Conversation(loop())
    lone_surrogate = Generation(2, GREEDY, prompt="a \ud800")
    talk.add(asked(1, "Who?"), lone_surrogate, asked(3, "Which town?"))
    told = talk.finish()
    refused = told[2].refused
    assert refused is not None
    assert refused.code == "INTERNAL_ERROR"
    assert "UnicodeEncodeError" in refused.message
    assert "Traceback" in caplog.text
    assert [told[1].text(), told[3].text()] == [KNOWN["Who?"], KNOWN["Which town?"]]


def test_an_answer_ends_with_the_context() -> None:
    decoder = MadeDecoder(context_length=40)
    prompt = "a" * 30
    told = alone(loop(decoder), Generation(1, Sampling(temperature=0.0), prompt=prompt))
    assert told.answer()[1:] == ("length", 10)
    told = alone(loop(decoder), Generation(1, GREEDY, prompt="a" * 39))
    assert told.answer()[1:] == ("length", 1)
    refused = alone(loop(decoder), Generation(1, GREEDY, prompt="a" * 40)).refused
    assert refused is not None
    assert "has 40 tokens" in refused.message


@pytest.mark.parametrize(
    ("config", "sampling", "tokens"),
    [
        ({"max_new_tokens": 4}, Sampling(), 4),
        ({"max_tokens": 5}, Sampling(), 5),
        ({"max_new_tokens": 4}, Sampling(max_tokens=6), 6),
        ({"max_length": 17}, Sampling(), 7),
        ({"max_length": 5}, Sampling(), 1),
        ({"max_length": 17}, Sampling(max_tokens=8), 8),
    ],
)
def test_the_models_own_configuration_says_how_long(
    config: dict[str, int], sampling: Sampling, tokens: int
) -> None:
    engine = ContinuousLoop(MadeDecoder(), config)
    told = alone(engine, Generation(1, sampling, prompt="abcdefghij"))
    assert told.answer()[1:] == ("length", tokens)


def test_the_models_own_configuration_says_where_to_stop() -> None:
    engine = loop(stop=["called"])
    assert alone(engine, asked(1, "Which town?")).text() == "The town is "
    other = replace(GREEDY, stop=("town",))
    assert alone(engine, asked(1, "Which town?", other)).text() == "The "


def test_the_models_own_seed_holds_where_a_request_has_none() -> None:
    engine = loop(seed=3, temperature=2.0)
    drawn = Generation(1, Sampling(max_tokens=9), prompt="abc")
    assert alone(engine, drawn).text() == alone(engine, drawn).text()
    other = replace(drawn, sampling=Sampling(max_tokens=9, seed=4))
    assert alone(engine, drawn).text() != alone(engine, other).text()


def test_a_bias_decides_and_must_be_of_a_token() -> None:
    engine = loop()
    biased = replace(GREEDY, max_tokens=3, logit_bias=((ord("q"), 100.0),))
    assert alone(engine, asked(1, "Who?", biased)).text() == "qqq"
    refused = alone(engine, asked(1, "Who?", replace(GREEDY, logit_bias=((9999, 1.0),)))).refused
    assert refused is not None
    assert "'logit_bias' has 9999" in refused.message


def test_whitespace_before_an_answer_is_left_out() -> None:
    biased = replace(GREEDY, max_tokens=2, logit_bias=((ord("\n"), 100.0),))
    engine = loop()
    told = alone(engine, Generation(1, biased, prompt="a"))
    assert (told.pieces, told.answer()) == ({}, ("", "length", 2))
    town = replace(GREEDY, max_tokens=2)
    assert alone(engine, Generation(1, town, prompt=f"<{'Which town?'}>The")).text() == "town is"


def test_text_comes_as_soon_as_it_is_known() -> None:
    talk = Conversation(loop())
    talk.add(asked(1, "Which town?", replace(GREEDY, stop=("called Gruyère?",))))
    seen = []
    while not talk.engine.is_idle:
        talk.step()
        seen.append(talk.told[1].text())
    assert seen[:3] == ["The town", "The town is", "The town is "]
    assert "The town is called" not in seen  # it may be the stop text
    assert seen[-1] == KNOWN["Which town?"]


def test_log_probabilities_belong_to_what_is_said() -> None:
    stopped = replace(GREEDY, stop=("called",), logprobs=0)
    told = alone(loop(), asked(1, "Which town?", stopped))
    assert told.text() == "The town is "
    assert "".join(each.text for each in told.logprobs[0]) == "The town is "
    accent = replace(GREEDY, logprobs=1)
    told = alone(loop(), asked(1, "Which town?", accent))
    pieces = [each.text for each in told.logprobs[0]]
    assert "".join(pieces).replace("\N{REPLACEMENT CHARACTER}" * 2, "è") == told.text()


def test_log_probabilities_come_with_their_piece() -> None:
    engine = loop()
    sampling = replace(GREEDY, max_tokens=5, stop=("ab",), logprobs=0, logit_bias=((97, 100.0),))
    engine.add(asked(1, "Who?", sampling))
    pieces = []
    while not engine.is_idle:
        pieces += [each for each in engine.step() if isinstance(each, Piece)]
    assert [(each.text, len(each.logprobs)) for each in pieces] == [("a", 1)] * 3 + [("aa", 2)]


def test_what_may_be_a_stop_text_is_said_when_it_is_over() -> None:
    at_end = replace(GREEDY, stop=("think.!",))
    assert alone(loop(), asked(1, "Which town?", at_end)).text() == KNOWN["Which town?"]
    cut = replace(GREEDY, stop=("town is!",), max_tokens=3)
    assert alone(loop(), asked(1, "Which town?", cut)).answer() == ("The town is", "length", 3)


def test_sequences_lie_together() -> None:
    decoder = MadeDecoder(slots=4)
    talk = Conversation(loop(decoder))
    talk.add(*(asked(key, "Which town?") for key in range(4)))
    talk.until_piece(3)
    for key in (3, 1, 2):
        talk.cancel(key)
    decoder.begun.clear()
    talk.add(asked(4, "Who?"), asked(5, "Who?"))
    talk.finish()
    assert decoder.begun == [1, 2]


def test_requests_take_turns_however_many_choices_they_ask_for() -> None:
    talk = Conversation(loop(MadeDecoder(slots=2)))
    talk.add(asked(1, "Who?", replace(GREEDY, n=20)))
    talk.until_piece(1)
    talk.add(asked(2, "Who?"), asked(3, "Which town?", replace(GREEDY, n=3)))
    talk.add(asked(4, "Which town?"))
    over = []
    while not talk.engine.is_idle:
        over += [event.key for event in talk.step() if isinstance(event, Finished)]
    assert talk.started == [1, 2, 3, 4]
    assert over.index(2) < over.index(4) < 10
    assert len(over) == 25
    assert [talk.told[1].text(index) for index in range(20)] == [KNOWN["Who?"]] * 20


def test_one_request_alone_has_all_places() -> None:
    decoder = MadeDecoder(slots=4)
    told = alone(loop(decoder), asked(1, "Who?", replace(GREEDY, n=9)))
    assert decoder.calls.count(("step", 4)) > 20
    assert len(told.ends) == 9


def test_a_request_of_the_same_key_may_come_again() -> None:
    engine = loop()
    for _ in range(2):
        assert alone(engine, asked(1, "Who?")).text() == KNOWN["Who?"]
    engine.close()


def test_what_the_model_raises_at_a_step_is_raised() -> None:
    decoder = MadeDecoder()
    engine = loop(decoder)
    engine.add(asked(1, "Who?"))
    engine.step()
    decoder.leave(0)
    with pytest.raises(KeyError):
        engine.step()
