"""Running the server: open the database, listen, answer, and stop without losing anything."""

from __future__ import annotations

import logging

from headrace.errors import InvalidRequest
from headrace.http.door import raise_file_limit, room_for
from headrace.http.listening import OnStarted, configure_logging, listen
from headrace.protocol.uris import scheme_of
from headrace.server.process import serve_on
from headrace.server.settings import ServerSettings
from headrace.store.base import Store
from headrace.store.open import open_store

log = logging.getLogger("headrace.server")


def serve(settings: ServerSettings, on_started: OnStarted | None = None) -> None:
    """Serve until SIGTERM or SIGINT (Ctrl-C), then finish what is under way and return.

    `on_started` is called with the server's address once it answers. To be called from the main
    thread. Raises InvalidRequest for settings that do not go together and for an address that
    cannot be bound; what `open_store` and `LocalArtifactStore` raise.
    """
    check(settings)
    configure_logging()
    raise_file_limit()  # for the workers, too
    room_for(settings.max_connections)
    store = open_store(settings.backend_store_uri)
    try:
        refuse_to_serve_everybody(store, settings)
        with listen(settings) as listener:
            if settings.workers == 1:
                serve_on(listener, store, settings, on_started)
            else:
                # Only here: processes and pipes are nothing that one worker has to import.
                from headrace.server.workers import supervise

                store.close()  # it was brought up to date; each worker opens it for itself
                supervise(listener, settings, on_started)
    finally:
        store.close()
    log.info("stopped; everything that was acknowledged is on disk")


def check(settings: ServerSettings) -> None:
    """Refuse what cannot be served, with the reason."""
    scheme = scheme_of(settings.backend_store_uri).partition("+")[0]
    if scheme in ("http", "https"):
        raise InvalidRequest(
            "The backend store is the address of another server; expected a "
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
        "  add a user:              headrace users add NAME --role admin\n"
        "  serve only this machine: --host 127.0.0.1\n"
        "  serve everybody:         --insecure"
    )
