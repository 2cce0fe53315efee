"""Requests in vLLM's words, and its outputs in ours. Nothing here imports vLLM.

The names are those of `vllm.SamplingParams`, `vllm.RequestOutput` and `vllm.logprobs.Logprob`
(0.33).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import Event, Finished, Piece, Refused, TokenLogprob
from headrace.serving.engines.sampling import Defaults

_SEEDS: Final = 2**63
"""vLLM takes seeds below this."""


def sampling_arguments(
    sampling: Sampling, defaults: Defaults, index: int, prompt_tokens: int
) -> dict[str, Any]:
    """The arguments of `vllm.SamplingParams` for one choice of a request, which is the one with
    this `index`: vLLM is asked for each by itself, because it refuses several greedy ones.
    """
    said = defaults.completed(sampling, prompt_tokens)
    most = said.max_tokens
    arguments = {
        "temperature": 0.0 if said.top_p == 0 else said.temperature,  # vLLM takes no top_p of 0
        "top_p": said.top_p or None,
        "top_k": said.top_k,
        "min_p": defaults.min_p,
        "repetition_penalty": defaults.repetition_penalty,
        "frequency_penalty": said.frequency_penalty,
        "presence_penalty": said.presence_penalty,
        "seed": None if said.seed is None else (said.seed + index) % _SEEDS,
        "stop": list(said.stop) or None,
        "min_tokens": min(defaults.min_tokens, most) if most else defaults.min_tokens,
        "logprobs": said.logprobs,
        "logit_bias": dict(said.logit_bias) or None,
    }
    # None is a wrong value for some of them. Of tokens it says: as many as there is room for.
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**given, "max_tokens": most}


class VllmChoice:
    """One choice of one request, from what vLLM tells of it (`RequestOutputKind.DELTA`)."""

    def __init__(self, key: int, index: int, top: int = 0) -> None:
        """`top`: how many of the likeliest tokens are told, where log probabilities are."""
        self.key = key
        self.index = index
        self._top = top
        self._tokens = 0
        self._has_begun = False
        self._untold: list[TokenLogprob] = []

    def told(self, output: Any) -> tuple[list[Event], bool]:
        """What a `RequestOutput` says that is new, and whether the choice is over."""
        events: list[Event] = []
        for each in output.outputs:
            reason = each.finish_reason
            if reason in ("abort", "error"):
                return [self._refused(each)], True
            self._tokens += len(each.token_ids)
            self._untold += _logprobs(each, self._top)
            self._say(each.text, events)
            if reason is not None:
                ended: Literal["stop", "length"] = "length" if reason == "length" else "stop"
                events.append(Finished(self.key, self.index, ended, self._tokens))
                return events, True
        return events, False

    def _say(self, text: str, events: list[Event]) -> None:
        if not self._has_begun:  # all engines leave the whitespace out that answers begin with
            text = text.lstrip()
            self._has_begun = bool(text)
        if text:
            events.append(Piece(self.key, self.index, text, tuple(self._untold)))
            self._untold.clear()

    def _refused(self, output: Any) -> Refused:
        why = output.stop_reason or "of itself"
        return Refused(self.key, f"vLLM gave this request up ({why}).", "INTERNAL_ERROR")


def _logprobs(output: Any, top: int) -> list[TokenLogprob]:
    """Those of the new tokens, but for one that ended the text and is not part of it."""
    if not output.logprobs:
        return []
    found = [
        _logprob(token, likely, top)
        for token, likely in zip(output.token_ids, output.logprobs, strict=True)
    ]
    # Of a stop text `stop_reason` is that text; None, or a number, where it was a token.
    is_token = output.finish_reason == "stop" and not isinstance(output.stop_reason, str)
    return found[:-1] if is_token else found


def _logprob(token: int, likely: Mapping[int, Any], top: int) -> TokenLogprob:
    """`likely` has the token itself beside the `top` likeliest ones, if it is not one of them."""
    own = likely[token]
    ranked = sorted(likely.values(), key=lambda each: int(each.rank))
    return TokenLogprob(
        own.decoded_token or "",
        own.logprob,
        tuple((each.decoded_token or "", each.logprob) for each in ranked if each.rank <= top),
    )
