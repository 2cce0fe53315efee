"""Requests in vLLM's words, and what vLLM tells in ours. vLLM itself is not needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import Event, Finished, Piece, Refused, TokenLogprob
from headrace.serving.engines.sampling import defaults_of
from headrace.serving.engines.vllm_translation import VllmChoice, sampling_arguments

GREEDY = {"temperature": 0.0, "min_p": 0.0, "repetition_penalty": 1.0, "min_tokens": 0}
NO_PENALTIES = {"frequency_penalty": 0.0, "presence_penalty": 0.0}


def asked(sampling: Sampling, index: int = 0, **own: Any) -> dict[str, Any]:
    return sampling_arguments(sampling, defaults_of(own), index, 10)


def test_a_silent_request_is_greedy_and_as_long_as_there_is_room() -> None:
    assert asked(Sampling()) == {**GREEDY, **NO_PENALTIES, "max_tokens": None}


def test_all_that_a_request_says_is_passed_on() -> None:
    sampling = Sampling(
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        frequency_penalty=0.25,
        presence_penalty=-0.5,
        seed=11,
        stop=("a", "b"),
        n=3,
        logprobs=2,
        logit_bias=((5, 1.5),),
    )
    assert asked(sampling, 2) == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0.25,
        "presence_penalty": -0.5,
        "seed": 13,
        "stop": ["a", "b"],
        "min_tokens": 0,
        "logprobs": 2,
        "logit_bias": {5: 1.5},
        "max_tokens": 7,
    }


def test_the_models_own_configuration_holds_where_a_request_is_silent() -> None:
    own: dict[str, Any] = {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "max_new_tokens": 9,
        "min_new_tokens": 4,
        "seed": 3,
        "stop": ["x"],
    }
    found = asked(Sampling(), **own)
    assert found["temperature"] == 0.7
    assert (found["top_p"], found["top_k"], found["min_p"]) == (0.8, 20, 0.1)
    assert (found["max_tokens"], found["min_tokens"]) == (9, 4)
    assert (found["repetition_penalty"], found["seed"], found["stop"]) == (1.2, 3, ["x"])
    assert asked(Sampling(temperature=0), **own)["temperature"] == 0
    assert asked(Sampling(max_tokens=2), **own)["min_tokens"] == 2
    assert asked(Sampling(stop=("y",)), **own)["stop"] == ["y"]


@pytest.mark.parametrize(
    ("sampling", "own", "temperature"),
    [
        (Sampling(), {"temperature": 0.7, "do_sample": False}, 0.0),
        (Sampling(), {"do_sample": True}, 1.0),
        (Sampling(), {"temperature": 0.7}, 0.7),
        (Sampling(top_p=0.5), {"do_sample": False}, 1.0),
        (Sampling(top_p=0.0), {}, 0.0),
        (Sampling(temperature=1.5, top_p=0.0), {}, 0.0),
        (Sampling(temperature=1.5), {"do_sample": False, "temperature": 0.7}, 1.5),
    ],
)
def test_when_tokens_are_drawn(sampling: Sampling, own: dict[str, Any], temperature: float) -> None:
    found = asked(sampling, **own)
    assert found["temperature"] == temperature
    assert found.get("top_p") != 0  # which vLLM refuses


def test_a_length_with_the_prompt_is_what_is_left_of_it() -> None:
    assert asked(Sampling(), max_length=25)["max_tokens"] == 15
    assert asked(Sampling(), max_length=5)["max_tokens"] == 1
    assert asked(Sampling(max_tokens=3), max_length=25)["max_tokens"] == 3


def test_a_seed_stays_within_what_vllm_takes() -> None:
    assert asked(Sampling(seed=2**63 - 1), 1)["seed"] == 0


def output(
    text: str, tokens: list[int], reason: str | None = None, why: Any = None, **more: Any
) -> Any:
    """A `vllm.RequestOutput` with what is new of its one choice."""
    given = {"logprobs": None, "finish_reason": reason, "stop_reason": why, **more}
    return SimpleNamespace(outputs=[SimpleNamespace(text=text, token_ids=tokens, **given)])


def told(choice: VllmChoice, *outputs: Any) -> list[Event]:
    events: list[Event] = []
    for place, each in enumerate(outputs):
        new, is_over = choice.told(each)
        assert is_over == (place == len(outputs) - 1)
        events += new
    return events


def test_pieces_come_as_they_are_made_without_whitespace_before_them() -> None:
    events = told(
        VllmChoice(3, 1),
        output(" ", [5]),
        output(" Hello", [6, 7]),
        output("", [8]),
        output(" you", [9]),
        output("", [2], "stop"),
    )
    assert events == [Piece(3, 1, "Hello"), Piece(3, 1, " you"), Finished(3, 1, "stop", 6)]


@pytest.mark.parametrize(
    ("given", "reason"), [("length", "length"), ("stop", "stop"), ("repetition", "stop")]
)
def test_reasons(given: str, reason: str) -> None:
    *_, last = told(VllmChoice(1, 0), output("x", [4], given, None))
    assert last == Finished(1, 0, reason, 1)  # type: ignore[arg-type] # a parameter is any text


@pytest.mark.parametrize("given", ["abort", "error"])
def test_what_vllm_gives_up_is_refused(given: str) -> None:
    events = told(VllmChoice(1, 0), output("x", [4]), output("", [], given))
    assert events[:1] == [Piece(1, 0, "x")]
    assert isinstance(events[1], Refused)
    assert events[1].code == "INTERNAL_ERROR"


def likely(*tokens: tuple[int, str, float, int]) -> dict[int, Any]:
    """`vllm.logprobs.Logprob` of tokens: number, text, logarithm, rank."""
    return {
        number: SimpleNamespace(logprob=value, rank=rank, decoded_token=text)
        for number, text, value, rank in tokens
    }


def test_log_probabilities_come_with_the_text_of_their_tokens() -> None:
    first = likely((5, "He", -0.5, 2), (9, "She", -0.25, 1))
    second = likely((6, "llo", -0.125, 1), (7, "y", -3.0, 2))
    third = likely((8, "!", -9.0, 400), (4, "?", -0.5, 1), (3, ".", -1.0, 2))
    ended = likely((2, "</s>", -0.5, 1), (7, "y", -3.0, 2))
    events = told(
        VllmChoice(1, 0, top=2),
        output("", [5], logprobs=[first]),
        output("Hello", [6], logprobs=[second]),
        output("!", [8, 2], "stop", logprobs=[third, ended]),
    )
    assert events == [
        Piece(
            1,
            0,
            "Hello",
            (
                TokenLogprob("He", -0.5, (("She", -0.25), ("He", -0.5))),
                TokenLogprob("llo", -0.125, (("llo", -0.125), ("y", -3.0))),
            ),
        ),
        Piece(1, 0, "!", (TokenLogprob("!", -9.0, (("?", -0.5), (".", -1.0))),)),
        Finished(1, 0, "stop", 4),
    ]


def test_the_token_that_a_stop_text_ends_in_is_part_of_the_answer() -> None:
    events = told(
        VllmChoice(1, 0),
        output("a", [5], "stop", "b", logprobs=[likely((5, "ab", -0.5, 1))]),
    )
    assert events == [Piece(1, 0, "a", (TokenLogprob("ab", -0.5),)), Finished(1, 0, "stop", 1)]
