"""Answers in the shape of OpenAI's API piece by piece, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.models.flavors.openai_answers import answer_head
from headrace.protocol.codec import encode
from headrace.serving.engines.base import Finished, Piece, Started
from headrace.serving.openai_answers import Numbered, Usage, chat_logprobs, completion_logprobs
from headrace.serving.openai_errors import error_in_stream
from headrace.serving.openai_requests import TextRequest

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Nobody between us and the reader may keep pieces back."""
_DONE: Final = b"data: [DONE]\n\n"


class Chunks:
    """The pieces of one answer, which share their id and time."""

    def __init__(self, request: TextRequest, model: str) -> None:
        self._request = request
        chat, text = ("chatcmpl", "chat.completion.chunk"), ("cmpl", "text_completion")
        self._same = answer_head(*(chat if request.is_chat else text), model)
        if request.tells_usage:
            self._same["usage"] = None
        self._lengths: dict[int, int] = {}

    def of(self, number: int, event: Started | Piece | Finished) -> list[dict[str, Any]]:
        """What an event of the prompt with that number is told by."""
        first = number * self._request.n
        if isinstance(event, Started):
            if not self._request.is_chat:
                return []
            role = {"role": "assistant", "content": ""}
            return [self._chunk(first + index, role) for index in range(self._request.n)]
        index = first + event.index
        if isinstance(event, Finished):
            return [self._chunk(index, {} if self._request.is_chat else "", event.reason)]
        return [self._piece(index, event)]

    def usage(self, usage: Usage) -> dict[str, Any]:
        """What comes last where it was asked for."""
        return {**self._same, "choices": [], "usage": usage.as_told()}

    def _piece(self, index: int, piece: Piece) -> dict[str, Any]:
        if self._request.is_chat:
            chunk = self._chunk(index, {"content": piece.text})
            told = chat_logprobs(piece.logprobs)
        else:
            chunk = self._chunk(index, piece.text)
            offset = self._lengths.get(index, 0)
            self._lengths[index] = offset + len(piece.text)
            told = completion_logprobs(piece.logprobs, offset)
        if self._request.logprobs is not None:
            chunk["choices"][0]["logprobs"] = told
        return chunk

    def _chunk(self, index: int, said: Any, reason: str | None = None) -> dict[str, Any]:
        name = "delta" if self._request.is_chat else "text"
        choice = {"index": index, name: said, "logprobs": None, "finish_reason": reason}
        return {**self._same, "choices": [choice]}


async def streamed_answer(
    request: TextRequest, model: str, first: Numbered, events: AsyncGenerator[Numbered, None]
) -> AsyncGenerator[bytes, None]:
    """Each piece as soon as it is there. What fails on the way is told by an `error` event."""
    chunks = Chunks(request, model)
    usage = Usage()
    async with aclosing(events):
        try:
            number, event = first
            usage.add(event)
            yield b"".join(map(_data, chunks.of(number, event)))
            async for number, event in events:
                usage.add(event)
                for chunk in chunks.of(number, event):
                    yield _data(chunk)
        except HeadraceError as error:
            yield b"event: error\n" + _data(error_in_stream(error))
            return
    if request.tells_usage:
        yield _data(chunks.usage(usage))
    yield _DONE


def _data(told: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % encode(told)
