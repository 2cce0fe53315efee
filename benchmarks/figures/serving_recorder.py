"""What it costs to hand every exchange with a model to a recorder: CPU of the server's front."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice, repeat
from statistics import median

from benchmarks import processes
from benchmarks.figures.serving import Requests, requests_of_pipeline
from benchmarks.load import LoadError, run_load
from benchmarks.measurements import OURS, Bench, LoneFigure, Quantity
from benchmarks.peers import PeerError, Place
from benchmarks.serving_peers import (
    PROGRAMS,
    HeadraceServing,
    ModelServer,
    serving,
)

WAYS = ("none", "keep")
CONNECTIONS = 8
BLOCK = 1_000
WARM_UP = 2_000


class Recorded(HeadraceServing):
    """The same server with a recorder that keeps every exchange, or with none."""

    def __init__(self, what: str) -> None:
        self.what = what

    def command(self, place: Place) -> list[str]:
        """A program that gives the server its recorder."""
        program = [self.program("python"), str(PROGRAMS / "recorded.py")]
        return [*program, str(place.folder / "model"), str(place.port), self.what]


def measure(bench: Bench) -> None:
    """Both servers run at once and are asked in turn, so that they meet the same machine."""
    if bench.peer(OURS) is None:
        return
    blocks = bench.effort.recorded_requests // BLOCK
    bench.say(f"serving_recorder, {blocks * BLOCK:,} requests each")
    seconds: dict[str, list[float]] = {what: [] for what in WAYS}
    try:
        asked = requests_of_pipeline(bench.folder)
        with ExitStack() as stack:
            servers = {what: stack.enter_context(started(bench, what, asked)) for what in WAYS}
            for server in servers.values():
                front_seconds(server, asked, WARM_UP)
            for _ in range(blocks):
                for what, server in servers.items():
                    seconds[what].append(front_seconds(server, asked, BLOCK))
    except (PeerError, LoadError, OSError) as error:
        bench.measurements.fail((q.key for q in FIGURE.quantities), OURS, str(error))
        bench.say(f"serving_recorder failed: {error}")
        return
    pairs = zip(seconds["keep"], seconds["none"], strict=True)
    more = median(keep - none for keep, none in pairs)
    bench.measurements.add("recorder_front", OURS, median(seconds["none"]) / BLOCK * 1e6)
    bench.measurements.add("recorder_cost", OURS, more / BLOCK * 1e6)


@contextmanager
def started(bench: Bench, what: str, asked: Requests) -> Iterator[ModelServer]:
    """One of the two servers. Raises PeerError."""
    peer = Recorded(what)
    folder = bench.folder / f"recorder-{what}"
    folder.mkdir(parents=True, exist_ok=True)
    peer.prepare(folder)
    with serving(peer, folder, *next(asked.of(peer))) as server:
        yield server


def front_seconds(server: ModelServer, asked: Requests, count: int) -> float:
    """CPU that the server's own process, without its workers, uses for so many requests."""
    chosen = list(islice(asked.of(server.peer), CONNECTIONS))
    before = processes.own_cpu_seconds(server.process.pid)
    run_load(
        server.address,
        [repeat(request, count // CONNECTIONS) for request, _ in chosen],
        expected=[expected for _, expected in chosen],
    ).require_success()
    return processes.own_cpu_seconds(server.process.pid) - before


FIGURE = LoneFigure(
    "serving_recorder",
    (
        Quantity("recorder_front", "CPU of the front, a request, 8 connections", "µs"),
        Quantity(
            "recorder_cost", "the same, more with a recorder of every exchange", "µs", at_most=15
        ),
    ),
    measure,
)
