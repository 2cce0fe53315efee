"""What the server says beyond the protocol: health, version, its own description, a page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from headrace.errors import HeadraceError, Unavailable
from headrace.protocol.codec import encode
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID, ExperimentRef
from headrace.server.page import CONTENT_SECURITY_POLICY, gather, render
from headrace.store.base import Store
from headrace.version import MLFLOW_VERSION, VERSION

HEALTH_TIMEOUT = 5.0
"""Seconds after which a store that does not answer counts as gone."""

SERVER_VERSION = f"{MLFLOW_VERSION}+headrace.{VERSION}"
"""What /version answers: a version of MLflow's protocol, with ours as its local part (PEP 440)."""

Read = Callable[[Callable[[], Any]], Awaitable[Any]]


class Site:
    """Routes that answer people and load balancers."""

    read: Read

    def __init__(self, store: Store) -> None:
        self._store = store
        self._document: bytes | None = None

    def routes(self) -> list[Route]:
        """Health, version, description and page."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/version", self.version, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def health(self, _: Request) -> Response:
        """Answer OK when the store does; 503 with the reason when not."""
        ref = ExperimentRef(experiment_id=DEFAULT_EXPERIMENT_ID)
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT):
                await self.read(lambda: self._store.experiments.get(ref))
        except TimeoutError as error:
            raise Unavailable(
                f"The database did not answer within {HEALTH_TIMEOUT:g} seconds."
            ) from error
        except HeadraceError as error:
            raise Unavailable(f"The database does not answer: {error.message}") from error
        return PlainTextResponse("OK")

    async def version(self, _: Request) -> Response:
        """Answer the version, in a form that MLflow's clients can compare."""
        return PlainTextResponse(SERVER_VERSION)

    async def openapi(self, _: Request) -> Response:
        """Answer the description of every call, as OpenAPI."""
        if self._document is None:
            # Made when it is first asked for: a server that only tracks never needs it.
            from headrace.protocol.openapi import openapi_document

            self._document = await self.read(lambda: encode(openapi_document()))
        return Response(self._document, media_type="application/json")

    async def page(self, request: Request) -> Response:
        """Answer the page for people."""
        seen = await self.read(lambda: gather(self._store))
        headers = {
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
        }
        address = str(request.base_url).rstrip("/")
        return Response(render(seen, address), media_type="text/html", headers=headers)
