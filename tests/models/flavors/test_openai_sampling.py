from __future__ import annotations

from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import Sampling, sampling_of


@pytest.mark.parametrize(
    ("request_", "logprobs"),
    [
        ({}, None),
        ({"logprobs": None, "top_logprobs": None}, None),
        ({"logprobs": False}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": 3}, 3),
        ({"logprobs": 0}, 0),
    ],
)
def test_log_probabilities_are_asked_for_in_two_ways(
    request_: dict[str, Any], logprobs: int | None
) -> None:
    assert sampling_of(request_).logprobs == logprobs


def test_the_newer_name_of_max_tokens_goes_first() -> None:
    assert sampling_of({"max_completion_tokens": 7}).max_tokens == 7
    assert sampling_of({"max_completion_tokens": 7, "max_tokens": 9}).max_tokens == 7
    assert sampling_of({"max_tokens": 9}).max_tokens == 9


def test_tokens_are_biased_by_their_numbers() -> None:
    biased = sampling_of({"logit_bias": {"5": -100, "17": 2.5}})
    assert biased.logit_bias == ((5, -100.0), (17, 2.5))
    assert sampling_of({"logit_bias": {}}) == sampling_of({"logit_bias": None}) == Sampling()


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": "many"}, "logprobs"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "'-1'"),
        ({"logit_bias": {"word": 1}}, "'word'"),
        ({"logit_bias": {"9" * 4000: 1}}, "logit_bias"),
        ({"logit_bias": {"٣": 1}}, "logit_bias"),
        ({"logit_bias": {"3": 101}}, "logit_bias"),
        ({"logit_bias": {"3": "much"}}, "logit_bias"),
        ({"logit_bias": {"3": float("nan")}}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(2000)}}, "at most 1024"),
    ],
)
def test_what_is_asked_wrongly_is_named(request_: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        sampling_of(request_)
