"""OpenAI's API: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from headrace.errors import InvalidRequest, PayloadTooLarge
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS, EMBEDDINGS
from headrace.protocol.codec import encode
from headrace.serving.openai_answers import numbered, whole_answer
from headrace.serving.openai_errors import ModelNotFound, openai_error, request_id
from headrace.serving.openai_requests import (
    EmbeddingsRequest,
    TextRequest,
    chat_request,
    completion_request,
    document_of,
    embeddings_request,
    model_name_of,
)
from headrace.serving.openai_stream import CONTENT_TYPE, HEADERS, streamed_answer
from headrace.serving.requests import Reply, Request, Route
from headrace.serving.served import ServedModel, ServedModels
from headrace.serving.worker.calls import Call

PATHS: Final = {
    CHAT: "/v1/chat/completions",
    COMPLETIONS: "/v1/completions",
    EMBEDDINGS: "/v1/embeddings",
}
"""Where models of each task are asked."""
Asked = TypeVar("Asked")
_LARGE: Final = 1 << 18
"""Bytes of a body that is read beside the event loop."""
_LARGEST: Final = 16 << 20
"""Bytes of a body that is read at all: whatever is in it, what the worker is told of it stays
within `frames.MAX_HEAD` (1e15 takes 18 bytes there).
"""


class OpenAI:
    """Answers for all models that have a task in OpenAI's shape."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models
        self._since = int(time.time())

    def routes(self) -> list[Route]:
        """What this format adds to the server."""
        return [
            Route("POST", PATHS[CHAT], self.chat, openai_error),
            Route("POST", PATHS[COMPLETIONS], self.completions, openai_error),
            Route("POST", PATHS[EMBEDDINGS], self.embeddings, openai_error),
            Route("GET", "/v1/models", self.list_models, openai_error),
            Route("GET", "/v1/models/{model:path}", self.one_model, openai_error),
        ]

    async def chat(self, request: Request) -> Reply:
        """Go on with a conversation."""
        document, asked = await _read(await request.body(), chat_request)
        model = self._model(document, CHAT)
        return await self._text(request, model, asked, model.name)

    async def completions(self, request: Request) -> Reply:
        """Go on from prompts."""
        document, asked = await _read(await request.body(), completion_request)
        model = self._model(document, COMPLETIONS)
        return await self._text(request, model, asked, model.name)

    async def embeddings(self, request: Request) -> Reply:
        """Make vectors of texts."""
        document, asked = await _read(await request.body(), embeddings_request)
        return await _embedded(request, self._model(document, EMBEDDINGS), asked)

    async def list_models(self, _request: Request) -> Reply:
        """The models that can be named here."""
        told = [self._told(each) for each in self._models if each.current.task is not None]
        return _json({"object": "list", "data": told})

    async def one_model(self, request: Request) -> Reply:
        """One of them."""
        return _json(self._told(self._named(request.fields["model"])))

    async def invoke(self, model: ServedModel, request: Request, body: bytes) -> Reply | None:
        """Answer MLflow's request to a language model where it is one in OpenAI's shape, with the
        bare answer; None for any other, and where the model makes its answers by itself.
        """
        task = model.current.task
        generates = model.current.pool.generates
        if task not in PATHS or (generates is None and task != EMBEDDINGS):
            return None
        is_own_answer = generates is not None and generates["is_own_answer"]
        if is_own_answer and b'"stream"' not in body:
            return None
        _, asked = await _read(body, _READERS[task])
        if isinstance(asked, EmbeddingsRequest):
            return await _embedded(request, model, asked)
        if asked is None or generates is None or (is_own_answer and not asked.is_stream):
            return None
        name = model.name if is_own_answer else generates["model_name"]
        return await self._text(request, model, asked, name)

    async def _text(
        self, request: Request, model: ServedModel, asked: TextRequest, name: str
    ) -> Reply:
        """The answer, whole or in pieces; `name` is what it says of the model."""
        _check_length(model, asked)
        streams = [model.generate(head) for head in asked.heads]
        events = numbered(streams)
        async with request.until_hung_up():
            if not asked.is_stream:
                return _json(await whole_answer(asked, name, events))
            first = await anext(events)
        pieces = streamed_answer(asked, name, first, events)
        return Reply(pieces, content_type=CONTENT_TYPE, headers={**HEADERS, **request_id()})

    def _model(self, document: dict[str, Any], task: str) -> ServedModel:
        """The model that is asked, if it can do this."""
        name = model_name_of(document)
        if name is None:
            names = [each.name for each in self._models]
            if len(names) > 1:
                raise InvalidRequest(f"'model' is missing; expected one of: {', '.join(names)}.")
            model = self._models.named(names[0])
        else:
            model = self._named(name)
        has = model.current.task
        if has == task or (has == CHAT and task == COMPLETIONS):
            return model
        if has in PATHS:
            raise InvalidRequest(
                f"The model '{model.name}' has the task {has}, so it is asked at {PATHS[has]}."
            )
        raise InvalidRequest(
            f"The model '{model.name}' has no task in OpenAI's shape; save it with task='{task}', "
            "or ask it at /invocations."
        )

    def _named(self, name: str) -> ServedModel:
        """By the name that it is served under, or one that its version has."""
        served = list(self._models)
        for model in served:
            if model.name == name:
                return model
        for model in served:
            if name in _other_names(model):
                return model
        known = ", ".join(model.name for model in served)
        raise ModelNotFound(f"There is no model '{name[:100]}' here; there is: {known}.")

    def _told(self, model: ServedModel) -> dict[str, Any]:
        return {
            "id": model.name,
            "object": "model",
            "created": self._since,
            "owned_by": "headrace",
        }


def _other_names(model: ServedModel) -> Iterator[str]:
    """What else a model is known by: where its version lies, and what it was made from."""
    current = model.current
    yield current.version.uri
    if current.pool.generates is not None:
        yield current.pool.generates["model_name"]
    for facts in (current.description.get("flavors") or {}).values():
        source = facts.get("source_model_name") if isinstance(facts, dict) else None
        if isinstance(source, str):
            yield source


def _check_length(model: ServedModel, asked: TextRequest) -> None:
    generates = model.current.pool.generates or {}
    most = generates.get("context_length")
    if most is not None and asked.least_tokens >= most:
        raise InvalidRequest(
            f"The prompt is too long: it has at least {asked.least_tokens} tokens, and this model "
            f"takes {most} with the answer. Shorten it."
        )


async def _embedded(request: Request, model: ServedModel, asked: EmbeddingsRequest) -> Reply:
    body = {
        "model": model.name,
        "texts": asked.texts,
        "is_base64": asked.is_base64,
        "dimensions": asked.dimensions,
    }
    async with request.until_hung_up():
        answered = await model.predict(Call("embeddings", encode(body)))
        return Reply(answered.body, headers=request_id())


async def _read(
    body: bytes, read: Callable[[dict[str, Any]], Asked]
) -> tuple[dict[str, Any], Asked]:
    """The object in a body, and what `read` makes of it. Large ones are read beside the event
    loop, so that streams go on. Raises PayloadTooLarge.
    """
    if len(body) > _LARGEST:
        raise PayloadTooLarge(
            f"The body has {len(body)} bytes; at most {_LARGEST} are taken for a language model."
        )

    def both() -> tuple[dict[str, Any], Asked]:
        document = document_of(body)
        return document, read(document)

    return both() if len(body) <= _LARGE else await asyncio.to_thread(both)


def _chat_or_prompt(document: dict[str, Any]) -> TextRequest | None:
    """What an object at `/invocations` asks a chat model; None for a table and the like."""
    if "messages" in document:
        return chat_request(document, is_lenient=True)
    return _prompt(document)


def _prompt(document: dict[str, Any]) -> TextRequest | None:
    return completion_request(document, is_lenient=True) if "prompt" in document else None


def _texts(document: dict[str, Any]) -> EmbeddingsRequest | None:
    return embeddings_request(document, is_lenient=True) if "input" in document else None


_Reader: TypeAlias = Callable[[dict[str, Any]], TextRequest | EmbeddingsRequest | None]
_READERS: Final[Mapping[str, _Reader]] = {
    CHAT: _chat_or_prompt,
    COMPLETIONS: _prompt,
    EMBEDDINGS: _texts,
}


def _json(told: dict[str, Any]) -> Reply:
    return Reply(encode(told), headers=request_id())
