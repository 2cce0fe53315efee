"""The longest single call of a program that logs while its server is gone; Headrace alone.

Gone in two ways: the connection is refused, or it is taken and never answered.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from benchmarks.measurements import OURS, Bench, LoneFigure, Quantity
from benchmarks.peers import HOST, free_port
from benchmarks.sdk import noting_failures, run_program

CALLS = ("start_run", "log_metric", "log_param", "log_text", "end_run")
FIRST = "first_start_run"


def measure(bench: Bench) -> None:
    peer = bench.peer(OURS)
    if peer is None:
        return
    for way, opened in WAYS.items():
        bench.say(f"sdk_away: {way}")
        with noting_failures(bench, peer, FIGURE.quantities), opened() as port:
            uri = f"http://{HOST}:{port}"
            folder = bench.folder / f"away-{way}"
            figures = run_program(peer, folder, uri, "away", str(bench.effort.sdk_calls_away))
            for name in (FIRST, *CALLS):
                bench.measurements.add(f"sdk_{way}_{name}", peer.name, figures[name] / 1e3)


@contextmanager
def refused() -> Iterator[int]:
    """A port that nothing listens on."""
    yield free_port()


@contextmanager
def blackhole() -> Iterator[int]:
    """A port that takes every connection and whatever is sent, and never answers."""
    taken: list[socket.socket] = []
    with closing(socket.create_server((HOST, 0), backlog=128)) as listener:

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


WAYS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "refused": refused,
    "blackhole": blackhole,
}
WORDS = {"refused": "connections refused", "blackhole": "never answered"}


def quantities() -> Iterator[Quantity]:
    for way, words in WORDS.items():
        title = f"SDK, {words}: the first start_run of a program, imports included"
        yield Quantity(f"sdk_{way}_{FIRST}", title, "ms")
        for call in CALLS:
            title = f"SDK, {words}: the longest {call}"
            yield Quantity(f"sdk_{way}_{call}", title, "ms", at_most=10)


FIGURE = LoneFigure("sdk_away", tuple(quantities()), measure)
