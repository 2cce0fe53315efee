"""MLflow's scoring protocol: `/invocations`."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from headrace.http.answers import ErrorBody, told_of
from headrace.protocol.codec import encode
from headrace.serving.openai import OpenAI
from headrace.serving.requests import Reply, Request, Route, UnsupportedContentType, failure
from headrace.serving.served import ServedModels
from headrace.serving.worker.calls import CSV, JSON, PARQUET, Call

CONTENT_TYPES: Final = (JSON, CSV, PARQUET)


def invocations_path(name: str) -> str:
    """Where a model of this name is asked."""
    return f"/models/{quote(name, safe='')}/invocations"


def error_reply(error: BaseException) -> Reply:
    """An error as MLflow's clients read it: `error_code` and `message`."""
    known = told_of(error)
    return failure(known, encode(ErrorBody(known.code, known.message)))


class Invocations:
    """Answers MLflow's scoring requests."""

    def __init__(self, models: ServedModels, chat: OpenAI) -> None:
        """`chat` answers what is asked in OpenAI's shape."""
        self._models = models
        self._chat = chat

    def routes(self) -> list[Route]:
        """What this format adds to the server."""
        return [
            Route("POST", "/invocations", self.invoke, error_reply),
            Route("POST", "/models/{model}/invocations", self.invoke, error_reply),
            # Where MLflow's deployments client asks.
            Route("POST", "/endpoints/{model}/invocations", self.invoke, error_reply),
        ]

    async def invoke(self, request: Request) -> Reply:
        """Predict. `{"predictions": …}`, or for language models the bare answer."""
        name = request.fields.get("model")
        model = self._models.named(name) if name else self._models.only()
        content_type = _content_type(request)
        body = await request.body()
        if content_type == JSON:
            reply = await self._chat.invoke(model, request, body)
            if reply is not None:
                return reply
        answered = await model.predict(Call("invocations", body, content_type), request.is_gone)
        return Reply(answered.body, content_type=answered.content_type, headers=answered.headers)


def _content_type(request: Request) -> str:
    given = request.headers.get(b"content-type", b"").decode("latin-1")
    kind, _, rest = given.partition(";")
    kind = kind.strip().lower()
    if kind not in CONTENT_TYPES:
        raise UnsupportedContentType(
            f"The header 'Content-Type' is {given[:100]!r}; expected one of: "
            f"{', '.join(CONTENT_TYPES)}."
        )
    _, is_there, charset = rest.partition("charset=")
    if is_there and charset.strip(' "').lower() not in ("utf-8", "utf8"):
        raise UnsupportedContentType(f"The charset is {charset[:40]!r}; only utf-8 is read.")
    return kind
