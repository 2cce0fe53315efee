"""What the server says of itself: an OpenAPI document, and a page to try the models on."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from importlib import resources
from typing import Any

from headrace.serving.invocations import error_reply
from headrace.serving.pages.openapi import openapi_document
from headrace.serving.pages.page import page_for
from headrace.serving.requests import Reply, Request, Route
from headrace.serving.served import ServedModels


class Pages:
    """Answers what people read. Made anew for each request: versions come and go."""

    def __init__(self, models: ServedModels, *, asks_for_key: bool) -> None:
        self._models = models
        self._asks_for_key = asks_for_key
        files = resources.files(__name__)
        self._style = (files / "page.css").read_text(encoding="utf-8")
        self._script = (files / "page.js").read_text(encoding="utf-8")
        self._policy = (
            f"default-src 'none'; style-src '{_hash(self._style)}'; "
            f"script-src '{_hash(self._script)}'; connect-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'self'"
        )

    def routes(self) -> list[Route]:
        """What this adds to the server."""
        return [
            Route("GET", "/", self.page, error_reply),
            Route("GET", "/docs", self.page, error_reply),
            Route("GET", "/openapi.json", self.openapi, error_reply),
        ]

    async def openapi(self, _request: Request) -> Reply:
        """The description of everything that this server answers, as OpenAPI 3.1."""
        document: dict[str, Any] = openapi_document(list(self._models), self._asks_for_key)
        return Reply(json.dumps(document).encode())

    async def page(self, _request: Request) -> Reply:
        """The page to try the models on."""
        html = page_for(list(self._models), self._style, self._script)
        return Reply(
            html.encode("utf-8", "replace"),
            content_type="text/html; charset=utf-8",
            headers={
                "content-security-policy": self._policy,
                "cache-control": "no-store",
                "referrer-policy": "no-referrer",
            },
        )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
