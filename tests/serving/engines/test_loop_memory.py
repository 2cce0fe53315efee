"""Who is answered when, where memory for keys and values is scarce."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines import room
from headrace.serving.engines.base import Finished, Generation, GenerationEngine
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.room import Layout, Room
from headrace.testing.generation import (
    GREEDY,
    ChoicesContract,
    Conversation,
    TogetherContract,
    Told,
    alone,
)
from tests.serving.engines.made_decoder import KNOWN, MadeDecoder

LONG, SHORT = 100, 20
"""Tokens of prompt and answer."""


def of(tokens: int, key: int, n: int = 1) -> Generation:
    """A request whose prompt has a half of these tokens, and each answer the other."""
    half = tokens // 2
    sampling = replace(GREEDY, max_tokens=half, n=n, logit_bias=((256, -100.0),))
    return Generation(key, sampling, prompt="x" * half)


def talk_with(
    tokens: int, *, slots: int = 4, overhead: int = 0
) -> tuple[Conversation, MadeDecoder]:
    """With memory for so many tokens."""
    decoder = MadeDecoder(slots=slots, room=Room(tokens, overhead))
    return Conversation(ContinuousLoop(decoder, chunk=1000)), decoder


class TestWithMemoryForTwo(TogetherContract, ChoicesContract):
    """Answers are the same, though they wait for each other."""

    @pytest.fixture
    def engine(self) -> GenerationEngine:
        return ContinuousLoop(MadeDecoder(slots=4, room=Room(240)))

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return KNOWN


def test_four_short_ones_go_together_where_two_long_ones_fit() -> None:
    talk, decoder = talk_with(2 * LONG)
    talk.add(*(of(SHORT, key) for key in range(4)))
    talk.step()
    assert decoder.calls[-1] == ("step", 4)
    talk.finish()
    decoder.calls.clear()
    talk.add(*(of(LONG, key) for key in range(10, 14)))
    talk.finish()
    steps = {count for call, count in decoder.calls if call == "step"}
    assert steps <= {1, 2}
    assert 2 in steps
    assert talk.started == [*range(4), *range(10, 14)]


def test_what_sequences_take_beside_their_tokens_counts() -> None:
    for overhead, together in ((0, 2), (1, 1)):
        talk, decoder = talk_with(2 * LONG, overhead=overhead)
        talk.add(*(of(LONG, key) for key in range(2)))
        talk.step()
        assert decoder.calls[-1] == ("step", together)


def test_one_alone_is_answered_whatever_it_takes() -> None:
    talk, decoder = talk_with(0)
    talk.add(of(LONG, 1), of(LONG, 2))
    told = talk.finish()
    assert told[1].answer()[1:] == told[2].answer()[1:] == ("length", LONG // 2)
    assert ("step", 2) not in decoder.calls


def test_who_leaves_makes_room() -> None:
    talk, decoder = talk_with(2 * LONG)
    talk.add(*(of(LONG, key) for key in range(3)), of(SHORT, 3))
    talk.until_piece(1)
    assert talk.started == [0, 1]
    talk.cancel(0)
    talk.step()
    assert talk.started == [0, 1, 2]
    talk.cancel(1)
    talk.cancel(2)
    talk.step()
    assert talk.started == [0, 1, 2, 3]
    talk.finish()
    talk.add(*(of(LONG, key) for key in (4, 5)))
    talk.step()
    assert decoder.calls[-1] == ("step", 2)


def wordy(key: int, *, prompt: int = 10, answer: int = 300, n: int = 1) -> Generation:
    """A request for so much, left to chance; no end cuts an answer short."""
    sampling = Sampling(
        max_tokens=answer,
        n=n,
        seed=key,
        frequency_penalty=0.5,
        logprobs=2,
        stop=("never said",),
        logit_bias=((256, -100.0),),
    )
    return Generation(key, sampling, prompt="abcdefgh"[key % 8] * prompt)


def test_who_joined_last_steps_back_where_answers_outgrow_the_memory() -> None:
    talk, decoder = talk_with(400)
    talk.add(wordy(0), wordy(1), wordy(2))
    told = talk.finish()
    sizes = [count for call, count in decoder.calls if call == "step"]
    assert max(sizes) == 2
    assert 1 in sizes
    assert decoder.most_held == 400
    assert talk.started == [0, 1, 2]
    for key in range(3):
        assert told[key] == unhindered(wordy(key))


def unhindered(generation: Generation) -> Told:
    return alone(ContinuousLoop(MadeDecoder(), chunk=1000), generation)


def stepped_back(*waiting: Generation) -> tuple[Conversation, MadeDecoder]:
    """A conversation in which one of two has just stepped back, and others waited already."""
    talk, decoder = talk_with(400, slots=2)
    talk.add(wordy(0), wordy(1), *waiting)
    while decoder.calls[-2:] != [("step", 2), ("step", 1)]:
        talk.step()
    return talk, decoder


def test_who_stepped_back_goes_on_before_those_who_wait() -> None:
    talk, _ = stepped_back(of(SHORT, 2))
    while not talk.told[0].ends:
        talk.step()
    assert talk.started == [0, 1]
    talk.finish()
    assert talk.started == [0, 1, 2]


def test_who_stepped_back_may_leave() -> None:
    talk, decoder = stepped_back()
    talk.cancel(1)
    assert talk.finish()[0].ends
    talk.add(wordy(2), wordy(3))
    talk.step()
    assert decoder.calls[-1] == ("step", 2)


@given(
    wishes=st.lists(
        st.tuples(st.integers(1, 90), st.integers(1, 300), st.integers(1, 3)),
        min_size=1,
        max_size=6,
    ),
    tokens=st.integers(0, 900),
    overhead=st.integers(0, 30),
    chunk=st.sampled_from((7, 50, 1000)),
    gone=st.sets(st.integers(0, 5), max_size=2),
    at=st.integers(1, 200),
)
def test_answers_are_as_alone_and_within_memory(
    wishes: list[tuple[int, int, int]],
    tokens: int,
    overhead: int,
    chunk: int,
    gone: set[int],
    at: int,
) -> None:
    asked = [wordy(key, prompt=p, answer=a, n=n) for key, (p, a, n) in enumerate(wishes)]
    decoder = MadeDecoder(slots=4, room=Room(tokens, overhead))
    talk = Conversation(ContinuousLoop(decoder, chunk=chunk))
    talk.add(*asked)
    for _ in range(at):
        talk.step()
    for key in gone:
        talk.cancel(key)
    told = talk.finish()
    assert decoder.most_held <= tokens
    for each in asked:
        if each.key not in gone:
            assert told[each.key] == unhindered(each)


def test_a_long_one_has_its_turn_though_short_ones_keep_coming() -> None:
    talk, _ = talk_with(2 * LONG, slots=8)
    talk.add(*(of(SHORT, key) for key in range(6)))
    talk.step()
    talk.add(of(LONG, 100))
    for key in range(6, 30):
        talk.add(of(SHORT, key))
        talk.step()
    told = talk.finish()
    assert talk.started.index(100) == 6
    assert len(told) == 31
    assert all(each.ends for each in told.values())


def test_requests_take_turns_at_memory_too() -> None:
    talk, _ = talk_with(2 * LONG)
    talk.add(of(LONG, 1, n=6))
    talk.step()
    talk.add(of(SHORT, 2), of(LONG, 3))
    over = []
    while not talk.engine.is_idle:
        over += [event.key for event in talk.step() if isinstance(event, Finished)]
    assert sorted(over) == [1] * 6 + [2, 3]
    assert over.index(2) <= 3
    assert over.index(3) <= 5


def test_loops_that_share_memory_take_no_more_than_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_LOOK_EVERY", 0.0)
    all_there_is = 600
    decoders: list[MadeDecoder] = []

    def free() -> int:
        return all_there_is - sum(map(held_by, decoders))

    layout = Layout(token_bytes=1, stretch_bytes=2 * mmap.PAGESIZE)
    for _ in range(2):
        decoders.append(MadeDecoder(slots=8, room=layout.room(free, 8, 400, "made")))
    talks = [Conversation(ContinuousLoop(each, chunk=1000)) for each in decoders]
    for talk in talks:
        talk.add(*(of(LONG, key) for key in range(8)))
    both: list[tuple[int, int]] = []
    while not all(talk.engine.is_idle for talk in talks):
        for talk in talks:
            talk.step()
            assert free() >= 0
        both.append((held_by(decoders[0]), held_by(decoders[1])))
    assert max(map(sum, both)) > 0.7 * all_there_is
    assert max(map(min, both)) > 1.5 * LONG  # nobody starves beside the other
    at_ease, _ = talk_with(100 * LONG, slots=8)
    at_ease.add(*(of(LONG, key) for key in range(8)))
    expected = {key: each.answer() for key, each in at_ease.finish().items()}
    for talk in talks:
        assert {key: each.answer() for key, each in talk.told.items()} == expected


def held_by(decoder: MadeDecoder) -> int:
    """Tokens."""
    return sum(map(len, decoder._held.values()))
