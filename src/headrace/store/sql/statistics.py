"""Keeps the figures fresh by which a database plans its searches, while it is written to.

PostgreSQL's own housekeeping looks once a minute. A search of a table that was empty a minute ago
is planned for an empty table until then, and takes a hundred times too long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect

MIN_WRITES = 500
"""Writes since the last time, below which nothing is worth refreshing."""
REST = 20
"""Pause after each refresh, in multiples of what it took: so it costs a twentieth at most."""

_log = logging.getLogger("headrace.store")


class Statistics:
    """Refreshes statistics in a thread of its own; one at a time."""

    def __init__(self, connect: Callable[[], Connection], dialect: Dialect) -> None:
        self._connect = connect
        self._dialect = dialect
        self._writes = 0
        self._thread: threading.Thread | None = None
        self._not_before = 0.0
        self._closed = threading.Event()

    def note(self, writes: int) -> None:
        """Note that so much was written and committed. Called by one thread, the writer's."""
        self._writes += writes
        if self._writes < MIN_WRITES or not self._dialect.has_statistics:
            return
        if self._thread is None or not self._thread.is_alive():
            self._writes = 0
            self._thread = threading.Thread(
                target=self._refresh, name="headrace-statistics", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop, and wait for a refresh under way."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _refresh(self) -> None:
        if self._closed.wait(max(0.0, self._not_before - time.monotonic())):
            return
        began = time.monotonic()
        try:
            connection = self._connect()
            try:
                self._dialect.analyze(connection.cursor)
            finally:
                connection.close()
        except Exception as error:  # noqa: BLE001 - searches work without, only slower
            _log.warning("the database's statistics could not be refreshed: %s", error)
        ended = time.monotonic()
        self._not_before = ended + REST * (ended - began)
