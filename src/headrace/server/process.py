"""One process that answers for a store on a listening socket, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

import uvicorn

from headrace.artifacts.local import LocalArtifactStore
from headrace.http.listening import OnStarted, Server, address_of, uvicorn_config
from headrace.server.app import create_app
from headrace.server.settings import ServerSettings
from headrace.store.base import Store

log = logging.getLogger("headrace.server")


def serve_on(
    listener: socket.socket,
    store: Store,
    settings: ServerSettings,
    on_started: OnStarted | None = None,
) -> None:
    """Serve `store` on a listening socket until a signal; closes `store` when all is answered."""
    artifacts = LocalArtifactStore(settings.artifacts_destination)
    app = create_app(store, artifacts, settings)
    address = address_of(listener, settings)

    def started() -> None:
        if on_started is not None:
            on_started(address)
        else:
            log.info("listening on %s", address)

    server = Server(express_config(app, settings), started)
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        server.run(sockets=[listener])
    finally:
        app.close()
        store.close()
        server.watchdog.cancel()


SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread must let another run Python. While a thread builds a large page,
the event loop asks for its turn at each round; with Python's 5 ms that is 200 rounds a second."""


def express_config(app: Any, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn serves the tracking server: with the express lane, where its parser is there."""
    try:
        import httptools  # noqa: F401 - only whether it is there: not on Windows
    except ImportError:
        return uvicorn_config(app, settings)
    from headrace.server.connection import express_connection_class
    from headrace.server.express import Express

    express = Express(app, settings.max_body_bytes, settings.body_timeout)
    return uvicorn_config(app, settings, express_connection_class(settings, express))
