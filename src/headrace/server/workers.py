"""Several processes that answer on one listening socket, and the one that watches over them.

A worker that ends is replaced; one that ends again and again right after its start ends the
server, because the next would do the same. When the watching process is gone, workers stop.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from headrace.errors import HeadraceError
from headrace.http.listening import OnStarted, address_of, configure_logging
from headrace.server.process import serve_on
from headrace.server.settings import ServerSettings
from headrace.store.open import open_store

log = logging.getLogger("headrace.server")

SHORT_LIFE = 5.0
"""Seconds; a worker that ends sooner has failed to start."""
MAX_SHORT_LIVES = 3


def supervise(
    listener: socket.socket, settings: ServerSettings, on_started: OnStarted | None
) -> None:
    """Run workers until SIGTERM or SIGINT, then let them finish.

    Raises HeadraceError when they cannot be kept running.
    """
    workers: dict[SpawnProcess, float] = {}
    short_lives = 0
    with _stop_signals() as stopped:
        try:
            while len(workers) < settings.workers:
                _start(workers, listener, settings)
            if on_started is not None:
                on_started(address_of(listener, settings))
            while stopped not in wait([stopped, *(worker.sentinel for worker in workers)]):
                for worker in [one for one in workers if not one.is_alive()]:
                    lived = time.monotonic() - workers.pop(worker)
                    log.error("worker %s ended with status %s", worker.pid, worker.exitcode)
                    short_lives = short_lives + 1 if lived < SHORT_LIFE else 0
                    if short_lives >= MAX_SHORT_LIVES:
                        raise HeadraceError(
                            "The workers end as soon as they start; their log says why."
                        )
                    _start(workers, listener, settings)
        finally:
            _stop(list(workers), settings.shutdown_timeout + 5)


def _start(
    workers: dict[SpawnProcess, float], listener: socket.socket, settings: ServerSettings
) -> None:
    # Spawned, not forked: nothing of an open database may be shared between processes.
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_work, args=(listener, settings), name="headrace-worker")
    worker.start()
    workers[worker] = time.monotonic()


def _stop(workers: list[SpawnProcess], limit: float) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + limit
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            log.error("worker %s did not stop in time and is ended", worker.pid)
            worker.kill()
            worker.join()


def _work(listener: socket.socket, settings: ServerSettings) -> None:
    """Be a worker."""
    configure_logging()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        # The address was said once, by the process that watches.
        serve_on(listener, open_store(settings.backend_store_uri), settings, lambda _: None)
    except HeadraceError as error:
        log.error("this worker cannot serve: %s", error.message)
        raise SystemExit(1) from error


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _stop_signals() -> Iterator[int]:
    """A file descriptor that can be read once SIGTERM or SIGINT has come."""
    readable, writable = os.pipe()

    def stop(*_: Any) -> None:
        os.write(writable, b".")

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield readable
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)
