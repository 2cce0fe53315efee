"""The next token, from logits: on the CPU with numpy, for each request in its own way.

A request's randomness is its own, so that the same seed gives the same answer whoever else is
answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from headrace.models.flavors.openai_requests import Sampling, sampling_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEED_SPACE: Final = 2**64
_LIKELY: Final = 1024
"""So many of the likeliest tokens usually hold all that `top_p` lets through."""


@dataclass(frozen=True)
class Defaults:
    """How a model answers where a request does not say."""

    sampling: Sampling = field(default_factory=Sampling)
    is_random: bool | None = None
    """Whether tokens are drawn; None: where a temperature above 0, top_p or top_k is given."""
    max_length: int | None = None
    """The most tokens of prompt and answer together, where nothing says `max_tokens`."""
    min_tokens: int = 0
    """Before so many tokens an answer does not end by itself."""
    min_p: float = 0.0
    """Only of tokens that are at least this part as likely as the likeliest (0 to 1)."""
    repetition_penalty: float = 1.0
    """What logits of tokens in the prompt or the answer are divided by (multiplied with, where they
    are negative): Keskar et al. 2019, arXiv 1909.05858, section 4.1.
    """

    def completed(self, asked: Sampling, prompt_tokens: int) -> Sampling:
        """What holds for a request whose prompt has so many tokens: what it asks for, and else what
        is said here. The temperature is 0 where the likeliest token is always taken; `max_tokens`
        is None where there may be as many as there is room for.
        """
        own = self.sampling
        is_random = asked.is_random
        if is_random is None:
            is_random = own.is_random if self.is_random is None else self.is_random
        most = asked.max_tokens or own.max_tokens
        if most is None and self.max_length is not None:
            most = max(self.max_length - prompt_tokens, 1)
        return replace(
            asked,
            max_tokens=most,
            temperature=(asked.temperature or own.temperature or 1.0) if is_random else 0.0,
            top_p=own.top_p if asked.top_p is None else asked.top_p,
            top_k=asked.top_k or own.top_k,
            frequency_penalty=asked.frequency_penalty or own.frequency_penalty,
            presence_penalty=asked.presence_penalty or own.presence_penalty,
            seed=own.seed if asked.seed is None else asked.seed,
            stop=asked.stop or own.stop,
        )


NAMES: Final = frozenset(
    (
        *("max_tokens", "max_new_tokens", "max_length", "min_new_tokens", "do_sample", "seed"),
        *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty"),
        *("presence_penalty", "stop", "stop_strings"),
    )
)
"""What `defaults_of` understands."""


def defaults_of(config: Mapping[str, Any]) -> Defaults:
    """From a model's configuration or transformers' generation config. InvalidRequest names what
    is wrong in it. What it does not understand (see NAMES) is left out.
    """
    known = {name: value for name, value in config.items() if value is not None}
    named = {
        **known,
        "max_tokens": known.get("max_new_tokens", known.get("max_tokens")),
        "stop": known.get("stop", known.get("stop_strings")),
        "top_k": known.get("top_k") or None,
    }
    plain = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty")
    asked = {name: named.get(name) for name in (*plain, "presence_penalty")}
    do_sample = known.get("do_sample")
    return Defaults(
        sampling=sampling_of(asked),
        is_random=None if do_sample is None else bool(do_sample),
        max_length=known.get("max_length"),
        min_tokens=int(known.get("min_new_tokens", 0)),
        min_p=float(known.get("min_p", 0.0)),
        repetition_penalty=float(known.get("repetition_penalty", 1.0)),
    )


class Chooser:
    """Chooses the tokens of one answer."""

    def __init__(
        self,
        sampling: Sampling,
        defaults: Defaults,
        index: int,
        prompt: Collection[int],
        ends: Collection[int],
    ) -> None:
        """`sampling` is completed by `defaults`. `index` says which of a prompt's answers it is;
        `ends` are the tokens that end one.
        """
        self._draw = _draw_of(sampling, defaults.min_p)
        self._frequency = sampling.frequency_penalty
        self._presence = sampling.presence_penalty
        self._repetition = defaults.repetition_penalty
        self._bias = sampling.logit_bias
        self._least, self._ends = defaults.min_tokens, list(ends)
        self._made = 0
        self._counts: dict[int, int] = {}
        self._seen = set(prompt) if self._repetition != 1.0 else set()
        seed = sampling.seed
        self._random = _random(None if seed is None else seed + index) if self._draw else None
        self._is_adjusted = bool(self._frequency or self._presence or self._bias or self._least)
        self._is_adjusted |= self._repetition != 1.0
        self.is_plain = not self._is_adjusted and self._draw is None
        """Whether it is always the likeliest token."""

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The next token, for logits of shape (vocabulary,), which are left as they are."""
        if self._is_adjusted:
            logits = self._adjusted(logits)
        if self._draw is None or self._random is None:
            token = int(logits.argmax())
        else:
            token = self._draw.token(logits, self._random.random())
        if self._is_adjusted:
            self._made += 1
            self._counts[token] = self._counts.get(token, 0) + 1
            if self._repetition != 1.0:
                self._seen.add(token)
        return token

    def _adjusted(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        import numpy as np

        logits = given.copy()
        if self._seen:
            seen = np.fromiter(self._seen, np.intp, len(self._seen))
            found = logits[seen]
            penalty = np.float32(self._repetition)
            logits[seen] = np.where(found < 0, found * penalty, found / penalty)
        if self._counts and (self._frequency or self._presence):
            tokens = np.fromiter(self._counts.keys(), np.intp, len(self._counts))
            counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
            logits[tokens] -= np.float32(self._frequency) * counts + np.float32(self._presence)
        for token, bias in self._bias:
            logits[token] += bias
        if self._made < self._least:
            logits[self._ends] = -np.inf
        return logits


@dataclass(frozen=True)
class Draw:
    """How tokens are drawn."""

    temperature: float
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    def token(self, logits: NDArray[np.float32], chance: float) -> int:
        """The token where `chance` (0 to 1, exclusive) lies, if the probabilities of those that may
        be drawn are laid side by side in the order of their numbers.

        In that order logits that differ by rounding alone, as they do in other company, nearly
        always give the same token.
        """
        import numpy as np

        tokens, chances = self.probabilities(logits)
        summed = np.cumsum(chances)
        place = int(np.searchsorted(summed, chance * summed[-1], side="right"))
        return int(tokens[min(place, len(tokens) - 1)])

    def probabilities(
        self, logits: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The tokens that may be drawn, in the order of their numbers, and how likely they are
        (not summing to 1).
        """
        import numpy as np

        size = logits.shape[0]
        if self.top_k is not None and self.top_k < size:
            tokens = np.argpartition(logits, size - self.top_k)[size - self.top_k :]
            tokens.sort()
            logits = logits[tokens]
        else:
            tokens = np.arange(size)
        scaled = logits.astype(np.float64)
        scaled -= scaled.max()
        chances = np.exp(scaled / self.temperature)
        chances /= chances.sum()
        if self.top_p < 1.0:
            kept = _likeliest(chances, self.top_p)
            tokens, chances = tokens[kept], chances[kept]
        if self.min_p > 0.0:
            enough = chances >= self.min_p * chances.max()
            tokens, chances = tokens[enough], chances[enough]
        return tokens, chances


def chosen(logits: NDArray[np.float32], choosers: Sequence[Chooser]) -> list[int]:
    """The next token of each sequence, for logits of shape (sequences, vocabulary)."""
    tokens: list[int] = logits.argmax(axis=1).tolist()
    for place, chooser in enumerate(choosers):
        if not chooser.is_plain:
            tokens[place] = chooser.choose(logits[place])
    return tokens


def log_probabilities(
    logits: NDArray[np.float32], token: int, top: int
) -> tuple[float, list[tuple[int, float]]]:
    """The natural logarithm of a token's probability, and the `top` likeliest tokens with theirs,
    the likeliest first. `logits` has the shape (vocabulary,).
    """
    import numpy as np

    exact = logits.astype(np.float64)
    greatest = exact.max()
    exact -= greatest + np.log(np.exp(exact - greatest).sum())
    top = min(top, exact.shape[0])
    if not top:
        return float(exact[token]), []
    likely = np.argpartition(exact, exact.shape[0] - top)[exact.shape[0] - top :]
    ordered = likely[np.argsort(-exact[likely], kind="stable")].tolist()
    return float(exact[token]), [(each, float(exact[each])) for each in ordered]


def _likeliest(chances: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """The places of the fewest likeliest that are together as likely as `top_p`, in order."""
    import numpy as np

    size = chances.shape[0]
    places = np.arange(size)
    if size > _LIKELY:
        some = np.argpartition(chances, size - _LIKELY)[size - _LIKELY :]
        if chances[some].sum() >= top_p:
            places = some
    order = places[np.argsort(-chances[places], kind="stable")]
    enough = int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1
    return np.sort(order[:enough])


def _draw_of(sampling: Sampling, min_p: float) -> Draw | None:
    """None where the likeliest token is always taken."""
    if not sampling.temperature:
        return None
    top_p = 1.0 if sampling.top_p is None else sampling.top_p
    return Draw(sampling.temperature, sampling.top_k, top_p, min_p)


def _random(seed: int | None) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(None if seed is None else seed % _SEED_SPACE)
