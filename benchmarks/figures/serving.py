"""A small scikit-learn pipeline behind HTTP: one row a request, many connections, then one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from benchmarks.load import LoadError, LoadResult, run_load
from benchmarks.measurements import OURS, Bench, Effort, LoneFigure, Quantity
from benchmarks.peers import PeerError
from benchmarks.serving_peers import (
    PROGRAMS,
    SERVING_PEERS,
    ModelServer,
    ServingPeer,
    post,
    run_there,
    serving,
)

CONNECTIONS = 32
PREDICTIONS = 300
PIPELINE = str(PROGRAMS / "pipeline.py")


@dataclass(frozen=True)
class Requests:
    """What the servers are asked: rows that differ, and the class that each belongs to."""

    columns: list[str]
    rows: list[list[float]]
    answers: list[int]

    def of(self, peer: ServingPeer) -> Iterator[tuple[bytes, bytes]]:
        """Each request in a peer's own words, and what its answer must hold."""
        for row, answer in zip(self.rows, self.answers, strict=True):
            yield post(peer.path, peer.body(self.columns, row)), peer.expected(answer)


def measure(bench: Bench) -> None:
    """All servers that take part, in turn, several times."""
    peers = [peer for peer in bench.peers if isinstance(peer, ServingPeer)]
    folders = {peer.name: bench.folder / f"serving-{peer.name}" for peer in peers}
    if not peers:
        return
    requests = requests_of_pipeline(bench.folder)
    ready: list[ServingPeer] = []
    for peer in peers:
        try:
            folders[peer.name].mkdir(parents=True)
            if not peer.installed():
                peer.install()
            peer.prepare(folders[peer.name])
            ready.append(peer)
        except (PeerError, OSError) as error:
            note_failure(bench, peer, error)
    for number in range(1, bench.effort.rounds + 1):
        for peer in ready:
            bench.say(f"serving, round {number} of {bench.effort.rounds}, {peer.title}")
            try:
                for key, value in one_turn(peer, folders[peer.name], requests, bench.effort):
                    bench.measurements.add(key, peer.name, value)
            except (PeerError, LoadError, OSError) as error:
                note_failure(bench, peer, error)


def requests_of_pipeline(folder: Path) -> Requests:
    """The rows to send and the right answers to them. Raises PeerError."""
    file = folder / "serving-requests.json"
    run_there(SERVING_PEERS[OURS], [PIPELINE, "requests", str(file)])
    return Requests(**json.loads(file.read_bytes()))


def one_turn(
    peer: ServingPeer, folder: Path, requests: Requests, effort: Effort
) -> Iterator[tuple[str, float]]:
    """Start one server, ask it from many connections, then from one, and stop it."""
    asked = list(requests.of(peer))
    with serving(peer, folder, *asked[0]) as server:
        yield "serving_start", server.start_s
        load(server, asked, CONNECTIONS, effort.warm_up_s)
        before = server.cpu_seconds()
        result = load(server, asked, CONNECTIONS, effort.seconds)
        yield "serving_cpu", (server.cpu_seconds() - before) / result.answers * 1e3
        yield "serving_rate", result.rate
        yield "serving_p50", result.percentile(50)
        yield "serving_p99", result.percentile(99)
        load(server, asked, 1, effort.warm_up_s / 2)
        alone = load(server, asked, 1, effort.seconds / 2).percentile(50)
        yield "serving_alone", alone
        yield "serving_memory", server.memory_megabytes()
    if peer.name == OURS:
        yield "serving_above", alone - predict_ms(peer)


def load(
    server: ModelServer, asked: Sequence[tuple[bytes, bytes]], connections: int, seconds: float
) -> LoadResult:
    """Each connection sends a row of its own, again and again; every answer must be right."""
    chosen = [asked[number % len(asked)] for number in range(connections)]
    return run_load(
        server.address,
        [repeat(request) for request, _ in chosen],
        seconds=seconds,
        expected=[expected for _, expected in chosen],
    ).require_success()


def predict_ms(peer: ServingPeer) -> float:
    """Median milliseconds of the model's own ``predict`` on a DataFrame of one row."""
    printed = run_there(peer, [PIPELINE, "predict", str(PREDICTIONS)])
    return float(json.loads(printed.partition("FIGURES ")[2])["predict_s"]) * 1e3


def note_failure(bench: Bench, peer: ServingPeer, error: Exception) -> None:
    """Say for all quantities why this peer has none."""
    bench.measurements.fail((q.key for q in FIGURE.quantities), peer.name, str(error))
    bench.say(f"serving failed on {peer.title}: {error}")


FIGURE = LoneFigure(
    "serving",
    (
        Quantity(
            "serving_rate",
            "a scikit-learn pipeline, one row a request, 32 connections",
            "requests/s",
            higher_is_better=True,
            targets={"mlflow": 30, "mlserver": 5, "litserve-batching": 3},
        ),
        Quantity("serving_p50", "half are answered within", "ms"),
        Quantity(
            "serving_p99",
            "99 % are answered within",
            "ms",
            targets={"mlflow": 2, "mlserver": 2, "litserve": 2, "litserve-batching": 2},
        ),
        Quantity("serving_cpu", "CPU of the server, a request", "ms"),
        Quantity("serving_alone", "one connection: half are answered within", "ms"),
        Quantity(
            "serving_above",
            "one connection: that, above the model's own predict",
            "ms",
            at_most=1,
        ),
        Quantity("serving_start", "start to the first right answer", "s", targets={"mlflow": 5}),
        Quantity("serving_memory", "memory after the work, all processes", "MB"),
    ),
    measure,
)
