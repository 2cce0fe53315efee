"""Running the server: open the database, listen, answer, and stop without losing anything."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from headrace.artifacts.local import LocalArtifactStore
from headrace.errors import InvalidRequest
from headrace.protocol.uris import scheme_of
from headrace.server.app import create_app
from headrace.server.settings import ServerSettings
from headrace.store.base import Store
from headrace.store.open import open_store

log = logging.getLogger("headrace.server")

BACKLOG = 2048
"""Connections that may wait to be accepted."""

OnStarted = Callable[[str], None]


def serve(settings: ServerSettings, on_started: OnStarted | None = None) -> None:
    """Serve until SIGTERM or SIGINT (Ctrl-C), then finish what is under way and return.

    `on_started` is called with the server's address once it answers. To be called from the main
    thread. Raises InvalidRequest for settings that do not go together and for an address that
    cannot be bound; what `open_store` and `LocalArtifactStore` raise.
    """
    check(settings)
    configure_logging()
    store = open_store(settings.backend_store_uri)
    try:
        refuse_to_serve_everybody(store, settings)
        with listen(settings) as listener:
            if settings.workers == 1:
                serve_on(listener, store, settings, on_started)
            else:
                from headrace.server.workers import supervise

                store.close()  # it was brought up to date; each worker opens it for itself
                supervise(listener, settings, on_started)
    finally:
        store.close()


def check(settings: ServerSettings) -> None:
    """Refuse what cannot be served, with the reason."""
    scheme = scheme_of(settings.backend_store_uri).partition("+")[0]
    if scheme in ("http", "https"):
        raise InvalidRequest(
            f"The backend store is {settings.backend_store_uri!r}, another server; expected a "
            "database: 'sqlite:///FILE' or 'postgresql://USER@HOST/NAME'."
        )
    if settings.workers > 1 and scheme == "sqlite":
        raise InvalidRequest(
            f"{settings.workers} workers were asked for, but SQLite lets one process write at a "
            "time: more workers would wait for each other and be slower than one. Use one worker, "
            "or PostgreSQL (--backend-store-uri postgresql://…)."
        )


def refuse_to_serve_everybody(store: Store, settings: ServerSettings) -> None:
    """Refuse to listen beyond this machine when there is nobody to tell apart."""
    if settings.is_local or settings.insecure:
        return
    if store.users is not None and store.users.state().count:
        return
    raise InvalidRequest(
        f"On {settings.host} other machines could reach this server, and it has no users, so "
        "everybody could read, change and delete everything. Do one of these:\n"
        "  add a user:             headrace users add NAME --role admin\n"
        "  serve only this machine: --host 127.0.0.1\n"
        "  serve everybody:        --insecure"
    )


@contextmanager
def listen(settings: ServerSettings) -> Iterator[socket.socket]:
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


def address_of(listener: socket.socket, settings: ServerSettings) -> str:
    """The URL at which a program on this machine reaches the server."""
    port = listener.getsockname()[1]
    host = settings.host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a name to replace
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        log.info("listening on %s", address)
        if on_started is not None:
            on_started(address)

    server = Server(uvicorn_config(app, settings), started)
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        server.run(sockets=[listener])
    finally:
        app.close()
        store.close()
    log.info("stopped; everything that was acknowledged is on disk")


class Server(uvicorn.Server):
    """uvicorn's server: says when it has started, and leaves the ending of the process to us."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

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
        super().handle_exit(sig, frame)


SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread must let another run Python. While a thread builds a large page,
the event loop asks for its turn at each round; with Python's 5 ms that is 200 rounds a second."""


def configure_logging() -> None:
    """Warnings and our own notes go to stderr, unless the program has set up logging itself."""
    if not logging.getLogger().handlers:
        logging.basicConfig(
            format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING
        )
        logging.getLogger("headrace").setLevel(logging.INFO)
    # "Invalid HTTP request received" and the like: the client is told, the log need not grow.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def uvicorn_config(app: Any, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        http=_http_class(settings),
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


def _http_class(settings: ServerSettings) -> Any:
    try:
        import httptools  # noqa: F401 - only whether it is there: not on Windows
    except ImportError:
        return "h11"
    from headrace.server.connection import connection_class

    return connection_class(settings.max_head_bytes)
