"""A listening socket, and uvicorn answering on it until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from headrace.errors import InvalidRequest
from headrace.http.settings import ListenSettings

log = logging.getLogger("headrace.server")

BACKLOG = 2048
"""Connections that may wait to be accepted."""

OnStarted = Callable[[str], None]


@contextmanager
def listen(settings: ListenSettings) -> Iterator[socket.socket]:
    """A socket that listens where the settings say. Raises InvalidRequest with the reason."""
    host = settings.host.strip("[]")
    try:
        found = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidRequest(f"{host!r} is no address to listen on: {error.strerror}.") from error
    with listener:
        try:
            if sys.platform != "win32":  # there it would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise InvalidRequest(
                f"Cannot listen on port {settings.port} of {host}: {error.strerror}. If another "
                "program uses it, choose another with --port."
            ) from error
        yield listener


def address_of(listener: socket.socket, settings: ListenSettings) -> str:
    """The URL at which a program on this machine reaches the server."""
    port = listener.getsockname()[1]
    host = settings.host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a name to replace
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


CLOSE_TIMEOUT = 10.0
"""Seconds that closing what the server holds may take, after the time for calls under way."""


def _give_up() -> None:
    log.error(
        "The server could not be closed in time; ending without it. What was answered is done; "
        "what was not may be or not."
    )
    os._exit(1)


class Server(uvicorn.Server):
    """uvicorn's server: says when it has started, and leaves the ending of the process to us."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started
        limit = (config.timeout_graceful_shutdown or 0) + CLOSE_TIMEOUT
        self.watchdog = threading.Timer(limit, _give_up)
        self.watchdog.daemon = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, once: uvicorn would raise the signal again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish what is under way; a second Ctrl-C does not wait for it."""
        first = not self.should_exit
        super().handle_exit(sig, frame)
        if first:
            log.info("finishing what is under way; a second Ctrl-C ends it")
            self.watchdog.start()


def configure_logging() -> None:
    """Warnings and our own notes go to stderr, unless the program has set up logging itself."""
    if not logging.getLogger().handlers:
        logging.basicConfig(
            format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING
        )
        logging.getLogger("headrace").setLevel(logging.INFO)
    # "Invalid HTTP request received" and the like: the client is told, the log need not grow.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def uvicorn_config(
    app: Any, settings: ListenSettings, http: type[asyncio.Protocol] | str | None = None
) -> uvicorn.Config:
    """How uvicorn serves the application; `http` is the class of its connections."""
    return uvicorn.Config(
        app,
        http=http or bounded_http(settings),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_timeout,
        backlog=BACKLOG,
    )


def bounded_http(settings: ListenSettings) -> type[asyncio.Protocol] | str:
    """Connections with limits, where the parser for them is there: not on Windows. Raises
    InvalidRequest where the system does not allow as many as the settings want.
    """
    try:
        import httptools  # noqa: F401 - only whether it is there
    except ImportError:
        return "h11"
    from headrace.http.connection import connection_class

    return connection_class(settings)
