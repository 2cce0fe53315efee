"""From a request in the shape of OpenAI's API to the answer, with any engine that makes text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import (
    ChatChunks,
    Completion,
    Generated,
    chat_answer,
    completion_answer,
)
from headrace.models.flavors.openai_requests import (
    CHAT,
    Sampling,
    messages_of,
    prompt_of,
    rows_of,
    sampling_of,
    tools_of,
)


class Engine(ABC):
    """A model that goes on from texts."""

    model_name: str
    """What answers say of the model."""

    @abstractmethod
    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """The prompt for a conversation, by the model's chat template. InvalidRequest where it has
        none, or refuses the messages.
        """

    @abstractmethod
    def generate(self, prompt: str, sampling: Sampling, *, is_chat: bool) -> Generated:
        """`sampling.n` texts that go on from `prompt`; one rendered from a conversation has all
        its special tokens already.
        """

    def stream(
        self, prompt: str, sampling: Sampling, *, is_chat: bool
    ) -> Generator[str | Completion, None, None]:
        """One text piece by piece, and at last the whole. InvalidRequest where that can't be."""
        raise InvalidRequest("This model does not answer piece by piece; call 'predict'.")


def answers(
    engine: Engine, task: str, data: Any, params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """An answer for each request in `data`, which may be one dictionary, a list or a DataFrame.

    `params` hold for all of them, where a request does not say otherwise.
    """
    field = "messages" if task == CHAT else "prompt"
    return [_answered(engine, task, {**(params or {}), **row}) for row in rows_of(data, field)]


def chat_pieces(
    engine: Engine, data: Any, params: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The answer to one conversation, as `chat.completion.chunk`s."""
    rows = rows_of(data, "messages")
    if len(rows) != 1:
        raise InvalidRequest(f"One conversation can be streamed at a time, not {len(rows)}.")
    request = {**(params or {}), **rows[0]}
    sampling = sampling_of(request)
    if sampling.n > 1:
        raise InvalidRequest("One answer can be streamed at a time: 'n' must be 1.")
    prompt = engine.render(messages_of(request), tools_of(request))
    return _chunks(engine, prompt, sampling)


def _chunks(engine: Engine, prompt: str, sampling: Sampling) -> Iterator[dict[str, Any]]:
    chunks = ChatChunks(engine.model_name)
    is_first = True
    for piece in engine.stream(prompt, sampling, is_chat=True):
        if isinstance(piece, str):
            yield chunks.piece(piece, is_first=is_first)
        else:
            if is_first:
                yield chunks.piece("", is_first=True)
            yield chunks.last(piece.finish_reason)
        is_first = False


def _answered(engine: Engine, task: str, request: Mapping[str, Any]) -> dict[str, Any]:
    sampling = sampling_of(request)
    if task == CHAT:
        prompt = engine.render(messages_of(request), tools_of(request))
        return chat_answer(engine.model_name, engine.generate(prompt, sampling, is_chat=True))
    generated = engine.generate(prompt_of(request), sampling, is_chat=False)
    return completion_answer(engine.model_name, generated)
