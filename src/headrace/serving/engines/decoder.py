"""What the continuous loop needs of a library: tokens in, logits out, one row for each sequence.

A decoder has a fixed number of slots; each holds the keys and values (the cache) of one sequence.
Sequences of different lengths are calculated together. It knows nothing of requests, sampling or
stop texts: that is the loop's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace.serving.engines.room import Room

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TextStream(Protocol):
    """Tokens of one sequence as text, piece by piece."""

    def add(self, token: int) -> str:
        """The text that this token completes; "" while a character or word is not whole."""
        ...


class Decoder(ABC):
    """See the module. Used by one thread. Slots are numbered from 0 to `slots` - 1."""

    model_name: str
    slots: int
    """How many sequences can be under way."""
    room: Room = Room()
    """How much memory they have together; one sequence alone always has enough."""
    context_length: int
    """How many tokens a prompt and its answer can have together."""
    end_tokens: frozenset[int]
    """Tokens that end an answer."""
    vocabulary: int | None = None
    """How many tokens there are, where it is known: prompts of other numbers are refused."""

    @abstractmethod
    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """The prompt for a conversation, by the model's chat template. InvalidRequest where it has
        none, or refuses the messages.
        """

    @abstractmethod
    def encode(self, text: str, *, is_rendered: bool) -> list[int]:
        """The tokens of a prompt; one that was rendered has all its special tokens already."""

    @abstractmethod
    def text_stream(self) -> TextStream:
        """What makes text of a new sequence's tokens. Special tokens have none."""

    @abstractmethod
    def token_text(self, token: int) -> str:
        """A token by itself, as log probabilities name it."""

    @abstractmethod
    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> NDArray[np.float32]:
        """Take `tokens` into `slot`, from the place `start` on (0 begins a new sequence), so that
        long prompts can be taken in parts; the logits after the last of them, shape (vocabulary,).
        """

    def prefill_many(
        self, slots: Sequence[int], prompts: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """Begin new sequences with whole prompts; the logits after each, shape (slots,
        vocabulary). Better than one by one where the library calculates them together.
        """
        import numpy as np

        each = zip(slots, prompts, strict=True)
        return np.stack([np.array(self.prefill(slot, tokens, 0)) for slot, tokens in each])

    @abstractmethod
    def step(self, slots: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """One more token for each of these sequences; the logits after it, shape (slots,
        vocabulary), in the order of `slots`. May be overwritten by the next call.
        """

    def leave(self, slot: int) -> None:  # noqa: B027 - most have nothing to let go of
        """The sequence in `slot` is over; the slot may be used again."""

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of the model."""
