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
    own = defaults.sampling
    most = sampling.max_tokens or own.max_tokens
    if most is None and defaults.max_length is not None:
        most = max(defaults.max_length - prompt_tokens, 1)
    top_p = own.top_p if sampling.top_p is None else sampling.top_p
    seed = own.seed if sampling.seed is None else sampling.seed
    arguments = {
        "temperature": _temperature(sampling, defaults, top_p),
        "top_p": top_p or None,
        "top_k": sampling.top_k or own.top_k,
        "min_p": defaults.min_p,
        "repetition_penalty": defaults.repetition_penalty,
        "frequency_penalty": sampling.frequency_penalty or own.frequency_penalty,
        "presence_penalty": sampling.presence_penalty or own.presence_penalty,
        "seed": None if seed is None else (seed + index) % _SEEDS,
        "stop": list(sampling.stop or own.stop) or None,
        "min_tokens": min(defaults.min_tokens, most) if most else defaults.min_tokens,
        "logprobs": sampling.logprobs,
        "logit_bias": dict(sampling.logit_bias) or None,
    }
    # None is a wrong value for some of them. Of tokens it says: as many as there is room for.
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**given, "max_tokens": most}


def _temperature(sampling: Sampling, defaults: Defaults, top_p: float | None) -> float:
    """0 where always the likeliest token is taken, which vLLM would not do by itself."""
    own = defaults.sampling
    is_random = sampling.is_random
    if is_random is None:
        is_random = own.is_random if defaults.is_random is None else defaults.is_random
    if not is_random or top_p == 0:  # which vLLM does not know
        return 0.0
    return sampling.temperature or own.temperature or 1.0


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
