"""Answers in the shape of OpenAI's API, built: whole ones, and pieces of one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True)
class Completion:
    """One text that a model has made."""

    text: str
    """Without the prompt, and without the text that stopped it."""
    tokens: int
    """How many were made, the one that ended it included."""
    finish_reason: FinishReason
    """"stop" where the model or a stop text ended it, "length" where `max_tokens` did."""


@dataclass(frozen=True)
class Generated:
    """What a model made of one prompt."""

    prompt_tokens: int
    completions: tuple[Completion, ...]


def chat_answer(model: str, generated: Generated) -> dict[str, Any]:
    """A `chat.completion`; `model` is its name."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": each.text},
            "finish_reason": each.finish_reason,
        }
        for index, each in enumerate(generated.completions)
    ]
    return _answer(answer_head("chatcmpl", "chat.completion", model), choices, generated)


def completion_answer(model: str, generated: Generated) -> dict[str, Any]:
    """A `text_completion`; `model` is its name."""
    choices = [
        {"index": index, "text": each.text, "finish_reason": each.finish_reason}
        for index, each in enumerate(generated.completions)
    ]
    return _answer(answer_head("cmpl", "text_completion", model), choices, generated)


def embeddings_answer(vectors: Sequence[Any], prompt_tokens: int) -> dict[str, Any]:
    """A list of embeddings, in the order of the texts. `vectors` are sequences of numbers."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": [float(x) for x in vector]}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }


class ChatChunks:
    """The pieces of one streamed `chat.completion`, which share their id and time."""

    def __init__(self, model: str) -> None:
        self._same = answer_head("chatcmpl", "chat.completion.chunk", model)

    def piece(self, text: str, *, is_first: bool = False) -> dict[str, Any]:
        """A piece of the answer; the first says whose it is."""
        role = {"role": "assistant"} if is_first else {}
        return self._chunk({**role, "content": text}, None)

    def last(self, finish_reason: FinishReason) -> dict[str, Any]:
        """What ends the answer."""
        return self._chunk({}, finish_reason)

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._same, "choices": [choice]}


def answer_head(prefix: str, kind: str, model: str) -> dict[str, Any]:
    """What an answer, or each piece of one, begins with: an id of its own, what it is, when."""
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """How many tokens there were."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _answer(
    head: dict[str, Any], choices: list[dict[str, Any]], generated: Generated
) -> dict[str, Any]:
    made = sum(each.tokens for each in generated.completions)
    return {**head, "choices": choices, "usage": usage_of(generated.prompt_tokens, made)}
