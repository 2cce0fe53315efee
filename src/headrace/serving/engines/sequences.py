"""One choice of one request, while it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from headrace.models.flavors.stop_texts import StopCutter
from headrace.serving.engines.base import Event, Finished, Piece, TokenLogprob
from headrace.serving.engines.decoder import Decoder
from headrace.serving.engines.sampling import Chooser, log_probabilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SOON: Final = 128


class Choice:
    """See the module. It is given tokens, and tells what its reader may know of them."""

    def __init__(
        self,
        key: int,
        index: int,
        prompt: list[int],
        chooser: Chooser,
        text: ChoiceText,
        limit: int,
    ) -> None:
        """`prompt` are its tokens; `limit` is the most tokens that are made."""
        self.key = key
        self.index = index
        self.prompt = prompt
        """What the model takes in before the next token can be chosen."""
        self.chooser = chooser
        self.slot = -1
        self.taken = 0
        """How many tokens of the prompt the model has."""
        self.last = -1
        """The token that was made last."""
        self.has_begun = False
        """Whether it has had a slot."""
        self._text = text
        self._limit = limit
        self._made = 0
        self._since: list[int] = []
        """The tokens that were made since the prompt was taken in."""

    @property
    def length(self) -> int:
        """How many tokens it has, those of its prompt included."""
        return len(self.prompt) + len(self._since)

    @property
    def length_soon(self) -> int:
        """How many it may well have soon: it needs memory for those to be worth beginning."""
        return self.length + min(self._limit - self._made, _SOON)

    def step_back(self) -> None:
        """It has lost its slot: what was made so far is taken in again, before it goes on."""
        self.prompt = [*self.prompt, *self._since]
        self._since = []
        self.taken = 0
        self.slot = -1

    def take(self, token: int, logits: NDArray[np.float32], events: list[Event]) -> bool:
        """`token` comes next, chosen from `logits` (vocabulary,); whether the choice is over."""
        self.last = token
        self._made += 1
        self._since.append(token)
        text = self._text
        reason: Literal["stop", "length"] | None = None
        if token in text.end_tokens:
            reason = "stop"
            said = text.rest()
        else:
            said = text.add(token, logits)
            if text.is_stopped:
                reason = "stop"
            elif self._made >= self._limit:
                reason = "length"
                said += text.rest()
        if said:
            said = text.begun(said)
        if said:
            events.append(Piece(self.key, self.index, said, text.logprobs(reason is not None)))
        if reason is None:
            return False
        events.append(Finished(self.key, self.index, reason, self._made))
        return True


class ChoiceText:
    """What a choice's tokens say: their text up to a stop text, and how likely they were."""

    def __init__(self, decoder: Decoder, stop: tuple[str, ...], logprobs: int | None) -> None:
        """`logprobs`: with how many of the likeliest tokens; None: they aren't asked for."""
        self.end_tokens = decoder.end_tokens
        self._decoder = decoder
        self._add = decoder.text_stream().add
        self._cutter = StopCutter(stop) if stop else None
        self._top = logprobs
        self._has_begun = False
        self._length = 0
        self._said = 0
        self._untold: list[tuple[int, TokenLogprob]] = []

    @property
    def is_stopped(self) -> bool:
        """Whether a stop text came."""
        return self._cutter is not None and self._cutter.is_stopped

    def add(self, token: int, logits: NDArray[np.float32]) -> str:
        """What may be said after this token."""
        if self._top is not None:
            self._untold.append((self._length, self._logprob(token, logits, self._top)))
        text = self._add(token)
        said = text if self._cutter is None else self._cutter.add(text)
        if self._top is not None:
            self._length += len(text)
            self._said += len(said)
        return said

    def rest(self) -> str:
        """What was kept back, now that the choice is over."""
        said = "" if self._cutter is None else self._cutter.rest()
        self._said += len(said)
        return said

    def begun(self, said: str) -> str:
        """Without the whitespace that an answer begins with, as all engines leave it out."""
        if self._has_begun:
            return said
        said = said.lstrip()
        self._has_begun = bool(said)
        return said

    def logprobs(self, is_last: bool) -> tuple[TokenLogprob, ...]:
        """Those of the tokens whose text was said since the last time."""
        if not self._untold:
            return ()
        told = [each for start, each in self._untold if start < self._said]
        del self._untold[: len(told)]
        if is_last:
            self._untold.clear()
        return tuple(told)

    def _logprob(self, token: int, logits: NDArray[np.float32], top: int) -> TokenLogprob:
        logprob, likely = log_probabilities(logits, token, top)
        name = self._decoder.token_text
        return TokenLogprob(name(token), logprob, tuple((name(each), lp) for each, lp in likely))
