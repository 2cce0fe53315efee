"""What every GenerationEngine must do. Subclass the suite and give it its two fixtures.

class TestMyEngine(GenerationEngineContract):
    @pytest.fixture
    def engine(self) -> GenerationEngine: ...  # idle; a capacity from 2 to 16 is best

    @pytest.fixture
    def known(self) -> Mapping[str, str]: ...  # questions and the likeliest answer to each
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import (
    Event,
    Finished,
    Generation,
    GenerationEngine,
    Piece,
    Refused,
    Started,
    TokenLogprob,
)

GREEDY: Final = Sampling(temperature=0.0, max_tokens=100)
SURPRISING: Final = Sampling(temperature=3.0, top_p=1.0, max_tokens=12)
_MOST_STEPS: Final = 20_000


@dataclass
class Told:
    """What an engine told of one request. Fails where events come in an order that may not be."""

    prompt_tokens: int | None = None
    pieces: dict[int, list[str]] = field(default_factory=dict)
    logprobs: dict[int, list[TokenLogprob]] = field(default_factory=dict)
    ends: dict[int, Finished] = field(default_factory=dict)
    refused: Refused | None = None

    def take(self, event: Event) -> None:
        """Add what happened."""
        assert self.refused is None, f"{event} after {self.refused}"
        match event:
            case Started():
                assert self.prompt_tokens is None, "started twice"
                self.prompt_tokens = event.prompt_tokens
            case Piece():
                assert self.prompt_tokens is not None, f"{event} before it started"
                assert event.index not in self.ends, f"{event} after its end"
                self.pieces.setdefault(event.index, []).append(event.text)
                self.logprobs.setdefault(event.index, []).extend(event.logprobs)
            case Finished():
                assert self.prompt_tokens is not None, f"{event} before it started"
                assert event.index not in self.ends, f"{event} after its end"
                self.ends[event.index] = event
            case Refused():
                self.refused = event

    def text(self, index: int = 0) -> str:
        """A choice so far."""
        return "".join(self.pieces.get(index, []))

    def answer(self, index: int = 0) -> tuple[str, str, int]:
        """A choice that is over: its text, why it ended, how many tokens were made."""
        assert self.refused is None, self.refused
        end = self.ends[index]
        return self.text(index), end.reason, end.tokens


class Conversation:
    """Speaks with an engine, and keeps what it tells."""

    def __init__(self, engine: GenerationEngine) -> None:
        self.engine = engine
        self.told: dict[int, Told] = {}
        self.started: list[int] = []
        self._cancelled: set[int] = set()

    def add(self, *generations: Generation) -> None:
        """Have these join."""
        for each in generations:
            self.told[each.key] = Told()
            self.engine.add(each)

    def cancel(self, key: int) -> None:
        """Nothing may come of it any more."""
        self._cancelled.add(key)
        self.engine.cancel(key)

    def step(self) -> list[Event]:
        """One step; what happened."""
        events = self.engine.step()
        for event in events:
            assert event.key not in self._cancelled, f"{event} after it was cancelled"
            if isinstance(event, Started):
                self.started.append(event.key)
            self.told[event.key].take(event)
        return events

    def until_piece(self, key: int) -> None:
        """Go on until that request has a first piece."""
        for _ in range(_MOST_STEPS):
            if self.told[key].pieces:
                return
            self.step()
        raise AssertionError(f"no piece of {key} came")

    def finish(self) -> dict[int, Told]:
        """Go on until nothing is under way; what was told."""
        for _ in range(_MOST_STEPS):
            if self.engine.is_idle:
                return self.told
            self.step()
        raise AssertionError("the engine goes on and on")


def asked(key: int, question: str, sampling: Sampling = GREEDY) -> Generation:
    """A question as a conversation of one message."""
    return Generation(key, sampling, messages=[{"role": "user", "content": question}])


def told_of(engine: GenerationEngine, generations: Iterable[Generation]) -> dict[int, Told]:
    """All that is told of these, if they are asked together."""
    conversation = Conversation(engine)
    conversation.add(*generations)
    return conversation.finish()


def alone(engine: GenerationEngine, generation: Generation) -> Told:
    """All that is told of it, if nothing else is asked."""
    return told_of(engine, [generation])[generation.key]


class _Fixtures:
    @pytest.fixture
    def engine(self) -> GenerationEngine:
        """An idle engine; every subclass gives its own."""
        raise NotImplementedError

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        """At least three questions, whose likeliest answers have at least three words."""
        raise NotImplementedError


class TogetherContract(_Fixtures):
    """Requests join and leave, and are answered as if they were alone."""

    def test_what_is_known_is_answered(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """One question at a time: text, reason and counts."""
        for key, (question, answer) in enumerate(known.items()):
            told = alone(engine, asked(key, question))
            text, reason, tokens = told.answer()
            assert (text, reason) == (answer, "stop")
            assert told.prompt_tokens
            assert 3 <= tokens <= 100

    def test_together_is_as_alone(self, engine: GenerationEngine, known: Mapping[str, str]) -> None:
        """More questions than there are places, of unequal length."""
        questions = [*known] * (engine.capacity // len(known) + 2)
        single = {question: alone(engine, asked(0, question)) for question in known}
        told = told_of(engine, (asked(key, each) for key, each in enumerate(questions)))
        for key, question in enumerate(questions):
            assert told[key].answer() == single[question].answer()
            assert told[key].prompt_tokens == single[question].prompt_tokens

    def test_who_comes_first_starts_first(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Also those that have to wait."""
        conversation = Conversation(engine)
        keys = [7 * place % 101 for place in range(2 * engine.capacity)]
        question = next(iter(known))
        conversation.add(*(asked(key, question, replace(GREEDY, max_tokens=3)) for key in keys))
        conversation.finish()
        assert conversation.started == keys

    def test_requests_join_in_the_middle_of_others(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Each joins when the one before has begun to answer, and changes nothing for it."""
        conversation = Conversation(engine)
        for key, question in enumerate(known):
            conversation.add(asked(key, question))
            conversation.until_piece(key)
        told = conversation.finish()
        for key, answer in enumerate(known.values()):
            assert told[key].answer()[:2] == (answer, "stop")

    def test_length_and_stop_are_each_requests_own(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """One is cut by its length, one at its stop text, one goes to its end."""
        (first, whole), (second, other), (third, last), *_ = known.items()
        word = other.split()[2]
        told = told_of(
            engine,
            [
                asked(1, first, replace(GREEDY, max_tokens=2)),
                asked(2, second, replace(GREEDY, stop=("not in it", word))),
                asked(3, third),
            ],
        )
        text, reason, tokens = told[1].answer()
        assert (reason, tokens) == ("length", 2)
        assert whole.startswith(text)
        assert len(text) < len(whole)
        assert told[2].answer()[:2] == (other[: other.index(word)], "stop")
        assert told[3].answer()[:2] == (last, "stop")

    def test_a_stop_text_is_cut_wherever_tokens_meet(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Each stop text begins and ends within words, which may be within tokens."""
        question, answer = max(known.items(), key=lambda pair: len(pair[1]))
        middle = len(answer) // 2
        stops = [answer[start : start + 5] for start in range(middle, middle + 4)]
        told = told_of(
            engine,
            (asked(key, question, replace(GREEDY, stop=(s,))) for key, s in enumerate(stops)),
        )
        for key, stop in enumerate(stops):
            text, reason, _ = told[key].answer()
            assert (text, reason) == (answer[: answer.index(stop)], "stop")

    def test_a_prompt_of_text_is_gone_on_from(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """The same text each time; no whitespace before it."""
        prompts = [answer.rpartition(" ")[0] for answer in known.values()]
        brief = replace(GREEDY, max_tokens=6)
        single = [alone(engine, Generation(0, brief, prompt=each)) for each in prompts]
        told = told_of(engine, (Generation(k, brief, prompt=p) for k, p in enumerate(prompts)))
        for key, one in enumerate(single):
            assert told[key].answer() == one.answer()
            assert one.text() == one.text().lstrip()

    def test_nothing_happens_when_nothing_is_asked(self, engine: GenerationEngine) -> None:
        """Idle before, and a step does nothing."""
        assert engine.is_idle
        assert engine.step() == []
        assert engine.capacity >= 1
        assert engine.model_name


class ChoicesContract(_Fixtures):
    """Seeds, several choices, and how likely tokens were."""

    def test_a_seed_gives_the_same_answer_in_any_company(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Alone, beside others, and joining in the middle of them."""
        question, other, *_ = known
        seeded = replace(SURPRISING, seed=5)
        single = alone(engine, asked(1, question, seeded)).answer()
        beside = told_of(
            engine,
            [
                asked(1, question, seeded),
                asked(2, other, replace(SURPRISING, seed=6)),
                asked(3, question),
            ],
        )
        assert beside[1].answer() == single
        conversation = Conversation(engine)
        conversation.add(asked(2, other, SURPRISING), asked(3, question))
        conversation.until_piece(3)
        conversation.add(asked(1, question, seeded))
        told = conversation.finish()
        assert told[1].answer() == single
        assert told[3].answer()[0] == known[question]

    def test_other_seeds_give_other_answers(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Not all of six are the same."""
        question = next(iter(known))
        sampled = (asked(seed, question, replace(SURPRISING, seed=seed)) for seed in range(6))
        assert len({each.text() for each in told_of(engine, sampled).values()}) > 1

    def test_one_prompt_has_several_choices(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Greedy ones are equal; drawn ones are not, and are the same for the same seed."""
        (question, answer), *_ = known.items()
        several = engine.capacity + 1
        told = alone(engine, asked(1, question, replace(GREEDY, n=several)))
        assert [told.text(index) for index in range(several)] == [answer] * several
        drawn = asked(1, question, replace(SURPRISING, n=4, seed=11))
        first, again = alone(engine, drawn), alone(engine, drawn)
        texts = [first.text(index) for index in range(4)]
        assert len(set(texts)) > 1
        assert [again.text(index) for index in range(4)] == texts

    def test_log_probabilities_are_told_or_refused(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Of every token of the text; the likeliest first, which greedy decoding took."""
        (question, answer), *_ = known.items()
        told = alone(engine, asked(1, question, replace(GREEDY, logprobs=3)))
        if not engine.has_logprobs:
            assert told.refused is not None
            return
        text, _, tokens = told.answer()
        logprobs = told.logprobs[0]
        assert text == answer
        assert len(logprobs) == tokens - 1
        for each in logprobs:
            assert each.logprob <= 0
            assert each.logprob == pytest.approx(each.top[0][1], abs=1e-6)
            assert [lp for _, lp in each.top] == sorted((lp for _, lp in each.top), reverse=True)
            assert len(each.top) == 3
        plain = alone(engine, asked(2, question, replace(GREEDY, logprobs=0)))
        assert plain.text() == answer
        assert all(each.top == () for each in plain.logprobs[0])


class LeavingContract(_Fixtures):
    """Who hangs up, and who asks what cannot be answered."""

    def test_a_place_is_free_when_its_reader_has_gone(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """All places are taken; one is given up; who waits gets it; no other is disturbed."""
        question, answer = max(known.items(), key=lambda pair: len(pair[1]))
        conversation = Conversation(engine)
        keys = range(engine.capacity)
        conversation.add(*(asked(key, question) for key in keys))
        late = engine.capacity
        conversation.add(asked(late, question))
        conversation.until_piece(0)
        assert late not in conversation.started
        conversation.cancel(0)
        while late not in conversation.started:
            assert not any(isinstance(event, Finished) for event in conversation.step())
        told = conversation.finish()
        for key in (*keys[1:], late):
            assert told[key].answer()[:2] == (answer, "stop")

    def test_who_waits_may_leave_too(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """Before it was seen, while it waits, and when it is over; unknown ones are ignored."""
        (question, answer), *_ = known.items()
        conversation = Conversation(engine)
        conversation.add(*(asked(key, question) for key in range(engine.capacity + 2)))
        conversation.cancel(engine.capacity)
        conversation.step()
        conversation.cancel(engine.capacity + 1)
        conversation.cancel(12_345)
        told = conversation.finish()
        conversation.cancel(0)
        assert engine.is_idle
        for key in range(engine.capacity):
            assert told[key].answer()[:2] == (answer, "stop")

    def test_when_all_leave_nothing_is_left(
        self, engine: GenerationEngine, known: Mapping[str, str]
    ) -> None:
        """The engine is idle, and answers the next as ever."""
        (question, answer), *_ = known.items()
        conversation = Conversation(engine)
        conversation.add(*(asked(k, question, replace(GREEDY, n=2)) for k in range(3)))
        conversation.until_piece(0)
        for key in range(3):
            conversation.cancel(key)
        conversation.finish()
        assert alone(engine, asked(9, question)).answer()[:2] == (answer, "stop")

    @pytest.mark.parametrize("prompt", ["", [], [-1], [2**40], "long"])
    def test_what_cannot_be_answered_is_refused(
        self, engine: GenerationEngine, known: Mapping[str, str], prompt: str | list[int]
    ) -> None:
        """An empty prompt, numbers that are no tokens, more than the model can take: with a
        message, and the others go on.
        """
        (question, answer), *_ = known.items()
        text: str | Sequence[int] = "word " * 200_000 if prompt == "long" else prompt
        conversation = Conversation(engine)
        conversation.add(asked(1, question))
        conversation.until_piece(1)
        given = text if isinstance(text, str) else list(text)
        conversation.add(Generation(2, GREEDY, prompt=given), asked(3, question))
        told = conversation.finish()
        refused = told[2].refused
        assert refused is not None
        assert refused.message
        assert "Traceback" not in refused.message
        for key in (1, 3):
            assert told[key].answer()[:2] == (answer, "stop")


class GenerationEngineContract(TogetherContract, ChoicesContract, LeavingContract):
    """All of it. Engines that cannot be told apart in behaviour pass it unchanged."""
