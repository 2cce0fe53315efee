from __future__ import annotations

import pytest

from headrace.serving.engines.pace import Pace


def settled(pace: Pace, per_token: float, per_call: float = 0.0) -> int:
    for _ in range(20):
        pace.took(pace.tokens, per_call + per_token * pace.tokens)
    return pace.tokens


@pytest.mark.parametrize(
    ("per_token", "tokens"), [(1e-6, 512), (0.001, 250), (0.01, 25), (0.1, 16)]
)
def test_a_part_takes_a_quarter_of_a_second_within_limits(per_token: float, tokens: int) -> None:
    assert settled(Pace(), per_token) == pytest.approx(tokens, abs=1)


def test_a_slow_model_takes_in_more_than_its_own_steps_would_allow() -> None:
    pace = Pace()
    pace.stepped(0.8)  # weights are read once a call, whatever it calculates
    assert settled(pace, per_token=0.01, per_call=0.8) == pytest.approx(80, abs=2)


def test_a_few_tokens_say_little_of_many() -> None:
    pace = Pace()
    pace.took(4, 1e-5)
    assert pace.tokens == 4 * 32
    pace.took(3, 10.0)
    assert pace.tokens == 16
    pace.took(0, 0.0)
    assert pace.tokens == 16


def test_a_fixed_pace_stays() -> None:
    assert settled(Pace(100), 1.0) == 100
