from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.sampling import (
    Chooser,
    Defaults,
    Draw,
    chosen,
    defaults_of,
    log_probabilities,
)

LOGITS = st.lists(st.floats(-20, 20, width=32, allow_subnormal=False), min_size=1, max_size=40).map(
    lambda values: np.array(values, dtype=np.float32)
)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    exponents = np.exp(scaled - scaled.max())
    chances: NDArray[np.float64] = exponents / exponents.sum()
    return chances


def chooser(sampling: Sampling, defaults: Defaults | None = None, **more: Any) -> Chooser:
    own, prompt = defaults or Defaults(), more.get("prompt", ())
    completed = own.completed(sampling, len(prompt))
    return Chooser(completed, own, more.get("index", 0), prompt, more.get("ends", ()))


@given(LOGITS, st.floats(0, 1))
def test_top_p_lets_the_fewest_likeliest_through(logits: NDArray[np.float32], top_p: float) -> None:
    tokens, _ = Draw(1.0, top_p=top_p).probabilities(logits)
    chances = softmax(logits)
    kept = chances[tokens]
    assert list(tokens) == sorted(tokens)
    assert len(tokens) >= 1
    assert kept.sum() >= top_p - 1e-9
    if len(tokens) > 1:
        assert kept.sum() - kept.min() < top_p + 1e-9
    left_out = np.delete(chances, tokens)
    assert not len(left_out) or left_out.max() <= kept.min()


def test_top_p_over_a_large_vocabulary_is_as_over_a_small_one() -> None:
    logits = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    chances = softmax(logits)
    order = np.argsort(-chances)
    for top_p in (0.01, 0.3, 0.9, 0.9999):  # the last needs more than the few likeliest
        tokens, _ = Draw(1.0, top_p=top_p).probabilities(logits)
        enough = int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1
        assert set(tokens.tolist()) == set(order[:enough].tolist())


@given(LOGITS, st.integers(1, 50), st.floats(0, 0.999999))
def test_top_k_draws_of_the_likeliest_alone(
    logits: NDArray[np.float32], top_k: int, chance: float
) -> None:
    token = Draw(1.5, top_k=top_k).token(logits, chance)
    assert (logits > logits[token]).sum() < top_k
    tokens, _ = Draw(1.5, top_k=top_k).probabilities(logits)
    assert list(tokens) == sorted(tokens)


def test_what_is_impossible_is_never_drawn() -> None:
    logits = np.array([-10_000.0, 0.0, -10_000.0], dtype=np.float32)
    for chance in (0.0, 0.5, 1 - 2**-53):
        assert Draw(1.0).token(logits, chance) == 1


@given(LOGITS, st.floats(0, 1))
def test_min_p_leaves_out_what_is_far_less_likely_than_the_likeliest(
    logits: NDArray[np.float32], min_p: float
) -> None:
    tokens, _ = Draw(1.0, min_p=min_p).probabilities(logits)
    chances = softmax(logits)
    assert set(tokens.tolist()) >= {int(chances.argmax())}
    assert (chances[tokens] >= min_p * chances.max() * (1 - 1e-9)).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0, -40.0], dtype=np.float32)
    draws = chooser(Sampling(temperature=temperature, seed=1))
    counts = Counter(draws.choose(logits) for _ in range(20_000))
    for token, chance in enumerate(softmax(logits, temperature)):
        # Five standard deviations of the binomial distribution.
        margin = 5 * (chance * (1 - chance) / 20_000) ** 0.5
        assert counts[token] / 20_000 == pytest.approx(chance, abs=margin + 1e-9)


def test_a_seed_and_the_place_of_a_choice_say_what_is_drawn() -> None:
    logits = np.zeros(1000, dtype=np.float32)

    def drawn(seed: int | None, index: int) -> list[int]:
        each = chooser(Sampling(temperature=1.0, seed=seed), index=index)
        return [each.choose(logits) for _ in range(5)]

    assert drawn(4, 0) == drawn(4, 0)
    assert drawn(4, 0) != drawn(4, 1)
    assert drawn(4, 1) == drawn(5, 0)
    assert drawn(2**63 - 1, 100) == drawn(2**63 - 1, 100)
    assert drawn(None, 0) != drawn(None, 0)


def test_rounding_does_not_change_what_is_drawn() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=500).astype(np.float32)
    draw = Draw(1.0, top_k=50, top_p=0.9)
    same = 0
    for chance in random.random(200):
        noise = random.normal(size=500).astype(np.float32) * np.float32(1e-6)
        same += draw.token(logits, chance) == draw.token(logits + noise, chance)
    assert same >= 199


def test_penalties_are_taken_as_openai_defines_them() -> None:
    logits = np.array([3.0, 2.5, 2.0, -9.0], dtype=np.float32)
    penalised = chooser(Sampling(temperature=0.0, frequency_penalty=0.3, presence_penalty=0.4))
    # logit - frequency * count - presence * (count > 0), each time the likeliest.
    counts = np.zeros(4)
    for _ in range(12):
        expected = int((logits - 0.3 * counts - 0.4 * (counts > 0)).argmax())
        assert penalised.choose(logits) == expected
        counts[expected] += 1
    assert (counts[:3] > 1).all()
    assert logits.tolist() == [3.0, 2.5, 2.0, -9.0]


def test_what_the_prompt_has_is_repeated_less() -> None:
    logits = np.array([2.0, 1.5, -1.0, -1.2], dtype=np.float32)
    own = Defaults(repetition_penalty=1.5)
    assert chooser(Sampling(temperature=0.0), own, prompt=[0]).choose(logits) == 1
    assert chooser(Sampling(temperature=0.0), own, prompt=[1]).choose(logits) == 0
    below = np.array([-1.0, -1.2], dtype=np.float32)
    assert chooser(Sampling(temperature=0.0), own, prompt=[0]).choose(below) == 1


def test_logits_are_biased() -> None:
    logits = np.array([2.0, 1.5, 0.0], dtype=np.float32)
    sampling = Sampling(temperature=0.0, logit_bias=((2, 100.0), (0, -100.0)))
    assert chooser(sampling).choose(logits) == 2
    assert chooser(replace(sampling, logit_bias=((0, -100.0),))).choose(logits) == 1


def test_an_answer_does_not_end_before_its_least_length() -> None:
    logits = np.array([2.0, 1.5], dtype=np.float32)
    each = chooser(Sampling(temperature=0.0), Defaults(min_tokens=2), ends=[0])
    assert [each.choose(logits) for _ in range(4)] == [1, 1, 0, 0]


def test_each_row_is_chosen_in_its_own_way() -> None:
    logits = np.random.default_rng(2).normal(size=(3, 50)).astype(np.float32)
    logits[1, 7] = 50.0
    choosers = [
        chooser(Sampling(temperature=0.0)),
        chooser(Sampling(temperature=1.0, seed=3)),
        chooser(Sampling(temperature=0.0, logit_bias=((9, 100.0),))),
    ]
    assert chosen(logits, choosers) == [int(logits[0].argmax()), 7, 9]


@given(LOGITS, st.integers(0, 50))
def test_log_probabilities_are_those_of_the_softmax(logits: NDArray[np.float32], top: int) -> None:
    expected = np.log(softmax(logits))
    logprob, likely = log_probabilities(logits, 0, top)
    assert logprob == pytest.approx(expected[0], abs=1e-9)
    assert len(likely) == min(top, len(logits))
    assert [lp for _, lp in likely] == sorted((lp for _, lp in likely), reverse=True)
    for token, lp in likely:
        assert lp == pytest.approx(expected[token], abs=1e-9)


@pytest.mark.parametrize(
    ("config", "sampling", "is_plain"),
    [
        ({}, Sampling(), True),
        ({"do_sample": True}, Sampling(), False),
        ({"temperature": 0.7}, Sampling(), False),
        ({"do_sample": False, "temperature": 0.7}, Sampling(), True),
        ({"do_sample": True, "temperature": 0.7}, Sampling(temperature=0.0), True),
        ({"do_sample": False}, Sampling(temperature=0.7), False),
        ({"do_sample": False}, Sampling(top_p=0.5), False),
        ({"repetition_penalty": 1.1}, Sampling(), False),
        ({"min_new_tokens": 3}, Sampling(), False),
        ({"frequency_penalty": 0.5}, Sampling(), False),
    ],
)
def test_a_request_goes_before_the_models_own_configuration(
    config: dict[str, Any], sampling: Sampling, is_plain: bool
) -> None:
    assert chooser(sampling, defaults_of(config)).is_plain is is_plain


def test_the_models_own_configuration_is_read_as_transformers_writes_it() -> None:
    found = defaults_of(
        {"max_new_tokens": 9, "top_k": 0, "stop_strings": "a", "min_p": 0.1, "unknown": object()}
    )
    assert found.sampling == Sampling(max_tokens=9, stop=("a",))
    assert found.min_p == 0.1
    with pytest.raises(InvalidRequest, match="temperature"):
        defaults_of({"temperature": "hot"})
