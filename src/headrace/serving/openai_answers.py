"""What comes of requests for text, gathered, and as answers in the shape of OpenAI's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.errors import HeadraceError, error_from_code
from headrace.models.flavors.openai_answers import (
    Completion,
    Generated,
    chat_answer,
    completion_answer,
    usage_of,
)
from headrace.serving.engines.base import Event, Finished, Piece, Refused, Started, TokenLogprob
from headrace.serving.openai_requests import TextRequest

_MOST_WAITING: Final = 64
"""Events of several prompts that wait for a slow reader."""

Numbered = tuple[int, Started | Piece | Finished]
"""The number of a prompt, and what came of it."""


@dataclass
class _Choice:
    pieces: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    end: Finished | None = None


class Usage:
    """How many tokens there were, over all prompts of a request."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def add(self, event: Event) -> None:
        """Count what an event tells."""
        if isinstance(event, Started):
            self.prompt_tokens += event.prompt_tokens
        elif isinstance(event, Finished):
            self.completion_tokens += event.tokens

    def as_told(self) -> dict[str, int] | None:
        """As answers have it; None where the model does not count."""
        if not self.prompt_tokens:
            return None
        return usage_of(self.prompt_tokens, self.completion_tokens)


async def numbered(
    streams: Sequence[AsyncGenerator[Event, None]],
) -> AsyncGenerator[Numbered, None]:
    """The events of all prompts as they come. Raises what a refusal tells."""
    if len(streams) == 1:
        async with aclosing(_unrefused(streams[0])) as events:
            async for event in events:
                yield 0, event
        return
    queue: asyncio.Queue[Numbered | HeadraceError | None] = asyncio.Queue(_MOST_WAITING)
    tasks = [
        asyncio.create_task(_pass_on(queue, number, _unrefused(stream)))
        for number, stream in enumerate(streams)
    ]
    try:
        for _ in streams:
            while (told := await queue.get()) is not None:
                if isinstance(told, HeadraceError):
                    raise told
                yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(
    queue: asyncio.Queue[Numbered | HeadraceError | None],
    number: int,
    stream: AsyncGenerator[Started | Piece | Finished, None],
) -> None:
    """The events of one prompt; then None, or why they end early."""
    try:
        async with aclosing(stream) as events:
            async for event in events:
                await queue.put((number, event))
    except HeadraceError as error:
        await queue.put(error)
    else:
        await queue.put(None)


async def _unrefused(
    stream: AsyncGenerator[Event, None],
) -> AsyncGenerator[Started | Piece | Finished, None]:
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, Refused):
                status = 500 if event.code == "INTERNAL_ERROR" else 400
                raise error_from_code(event.code, event.message, status)
            yield event


async def whole_answer(
    request: TextRequest, model: str, events: AsyncGenerator[Numbered, None]
) -> dict[str, Any]:
    """The answer, once all of it is there. `model` is the name that it carries."""
    choices = [_Choice() for _ in range(len(request.heads) * request.n)]
    usage = Usage()
    async with aclosing(events):
        async for number, event in events:
            usage.add(event)
            if isinstance(event, Started):
                continue
            choice = choices[number * request.n + event.index]
            if isinstance(event, Finished):
                choice.end = event
            else:
                choice.pieces.append(event.text)
                choice.logprobs += event.logprobs
    made = Generated(usage.prompt_tokens, tuple(_completion(each) for each in choices))
    answer = (chat_answer if request.is_chat else completion_answer)(model, made)
    if request.logprobs is not None:
        told = chat_logprobs if request.is_chat else completion_logprobs
        for place, choice in enumerate(choices):
            answer["choices"][place]["logprobs"] = told(choice.logprobs)
    if usage.as_told() is None:
        del answer["usage"]
    return answer


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Those of some tokens, as chat completions have them."""
    return {
        "content": [
            {
                **_named(each.text, each.logprob),
                "top_logprobs": [_named(*likely) for likely in each.top],
            }
            for each in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """Those of some tokens, as completions have them; the text before has `offset` characters."""
    offsets = []
    for each in tokens:
        offsets.append(offset)
        offset += len(each.text)
    return {
        "tokens": [each.text for each in tokens],
        "token_logprobs": [each.logprob for each in tokens],
        "top_logprobs": [dict(each.top) for each in tokens] if any(t.top for t in tokens) else None,
        "text_offset": offsets,
    }


def _named(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": [*text.encode()]}


def _completion(choice: _Choice) -> Completion:
    assert choice.end is not None, "the events end when all choices have ended"
    return Completion("".join(choice.pieces), choice.end.tokens, choice.end.reason)
