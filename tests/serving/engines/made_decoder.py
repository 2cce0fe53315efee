"""A language model of numpy alone: it knows some answers by heart, and babbles otherwise."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.errors import InvalidRequest
from headrace.serving.engines.decoder import Decoder, TextStream
from headrace.serving.engines.room import Room

KNOWN: Final = {
    "Which town?": "The town is called Gruyères, I think.",
    "Who?": "A man from the hills.",
    "What is it that he eats in the morning, before he goes to the mill?": "Bread and cheese.",
}
END: Final = 256
WORDS: Final = (" town", " is", " the", "from", "The", " ", "cheese.", "I th", "ink", "dow")
"""Tokens of more than one character, after the bytes and END."""
VOCABULARY: Final = 257 + len(WORDS)
_SURE: Final = 12.0


class MadeDecoder(Decoder):
    """See the module. `calls` says how many sequences each call calculated, `begun`
    which slots were begun in, `most_held` how many tokens several sequences had at most.
    """

    model_name = "made"
    end_tokens = frozenset((END,))
    vocabulary = VOCABULARY

    def __init__(self, slots: int = 4, context_length: int = 400, room: Room | None = None) -> None:
        self.slots = slots
        self.room = room or Room()
        self.context_length = context_length
        self.calls: list[tuple[str, int]] = []
        self.begun: list[int] = []
        self.most_held = 0
        self.raises_at: int | None = None
        self._held: dict[int, list[int]] = {}
        letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz .,", dtype=np.uint8)
        random = np.random.default_rng(3)
        self._bigrams = np.full((VOCABULARY, VOCABULARY), -30.0, dtype=np.float32)
        self._bigrams[:, letters] = random.normal(size=(VOCABULARY, len(letters)))
        self._next: dict[tuple[int, ...], int] = {}
        for question, answer in KNOWN.items():
            told = self.encode(f"<{question}>", is_rendered=True)
            for token in (*self.encode(answer, is_rendered=True), END):
                self._next[tuple(told)] = token
                told.append(token)

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        if messages[-1]["role"] != "user":
            raise InvalidRequest("The last message must be the user's.")
        return f"<{messages[-1]['content']}>"

    def encode(self, text: str, *, is_rendered: bool) -> list[int]:
        tokens: list[int] = []
        rest = text
        while rest:
            word = next((each for each in WORDS if rest.startswith(each)), None)
            if word is not None:
                tokens.append(257 + WORDS.index(word))
            else:
                tokens.extend(rest[0].encode())
            rest = rest[len(word or rest[0]) :]
        return tokens

    def text_stream(self) -> TextStream:
        return _Stream()

    def token_text(self, token: int) -> str:
        if token == END:
            return ""
        return WORDS[token - 257] if token > END else bytes([token]).decode(errors="replace")

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> NDArray[np.float32]:
        self.calls.append(("prefill", len(tokens)))
        if self.raises_at in tokens:
            raise ValueError("a token that breaks it\nand more")
        if not start:
            self.begun.append(slot)
        held = self._held.setdefault(slot, []) if start else []
        self._held[slot] = held
        assert len(held) == start
        held.extend(tokens)
        self._note_held()
        return self._logits(slot)

    def step(self, slots: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        self.calls.append(("step", len(slots)))
        for slot, token in zip(slots, tokens, strict=True):
            self._held[slot].append(token)
            assert len(self._held[slot]) < self.context_length
        self._note_held()
        return np.stack([self._logits(slot) for slot in slots])

    def leave(self, slot: int) -> None:
        self._held.pop(slot, None)

    def _note_held(self) -> None:
        if len(self._held) > 1:
            self.most_held = max(self.most_held, sum(map(len, self._held.values())))

    def _logits(self, slot: int) -> NDArray[np.float32]:
        held = self._held[slot]
        logits: NDArray[np.float32] = self._bigrams[held[-1]].copy()
        recalled = self._next.get(tuple(held))
        if recalled is not None:
            logits[recalled] = _SURE
        return logits


class _Stream:
    def __init__(self) -> None:
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        return WORDS[token - 257] if token > END else self._bytes.decode(bytes([token]))
