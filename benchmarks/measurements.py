"""The figures of one run: what is measured, what it should reach, and the samples."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import Peer, Server

OURS = "headrace"


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    ``targets`` says how many times better than each peer Headrace should be (for a time: how
    many times shorter). ``at_most`` and ``at_least`` bound Headrace's own figure.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool = False
    targets: Mapping[str, float] = field(default_factory=dict)
    at_most: float | None = None
    at_least: float | None = None

    def times_better(self, ours: float, theirs: float) -> float:
        """How many times better ``ours`` is: above 1 is better, whichever way the unit runs."""
        better, worse = (ours, theirs) if self.higher_is_better else (theirs, ours)
        return better / worse if worse else float("inf")


@dataclass(frozen=True)
class Effort:
    """How much work one run of the benchmark does."""

    rounds: int
    seconds: float
    warm_up_s: float
    repeats: int
    large_search_runs: int
    storage_points: int
    artifact_bytes: int
    peer_artifact_bytes: int
    imports: int
    sdk_calls: int
    sdk_peer_calls: int
    sdk_points: int
    sdk_peer_points: int
    sdk_calls_away: int
    models: int
    peer_models: int
    model_bytes: int
    recorded_requests: int

    @property
    def text(self) -> str:
        """What was done, in words: a quick run must not pass for a full one."""
        rounds = f"{self.rounds} round{'s' if self.rounds != 1 else ''}"
        if self is FULL:
            return f"{rounds} of {self.seconds:g} s a figure"
        return (
            f"a QUICK run: {rounds} of {self.seconds:g} s a figure, "
            f"{self.large_search_runs:,} runs instead of {FULL.large_search_runs:,}, "
            f"{self.storage_points:,} points instead of {FULL.storage_points:,}, "
            f"{self.artifact_bytes >> 20} MiB instead of {FULL.artifact_bytes >> 20}, "
            f"{self.sdk_points:,} points through the SDK instead of {FULL.sdk_points:,}, "
            f"models of {self.model_bytes >> 20} MiB instead of {FULL.model_bytes >> 20}"
        )


FULL = Effort(
    rounds=3,
    seconds=4.0,
    warm_up_s=1.0,
    repeats=9,
    large_search_runs=100_000,
    storage_points=1_000_000,
    artifact_bytes=1 << 30,
    peer_artifact_bytes=1 << 28,
    imports=5,
    sdk_calls=200_000,
    sdk_peer_calls=2_000,
    sdk_points=1_000_000,
    sdk_peer_points=5_000,
    sdk_calls_away=40_000,
    models=20,
    peer_models=5,
    model_bytes=2 << 30,
    recorded_requests=20_000,
)
QUICK = Effort(
    rounds=1,
    seconds=1.5,
    warm_up_s=0.5,
    repeats=3,
    large_search_runs=5_000,
    storage_points=100_000,
    artifact_bytes=1 << 27,
    peer_artifact_bytes=1 << 26,
    imports=2,
    sdk_calls=5_000,
    sdk_peer_calls=200,
    sdk_points=50_000,
    sdk_peer_points=1_000,
    sdk_calls_away=2_000,
    models=5,
    peer_models=2,
    model_bytes=1 << 28,
    recorded_requests=5_000,
)


@dataclass
class Measurements:
    """Samples by quantity and peer, and why some are missing."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    durability: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, peer: str, value: float) -> None:
        """Keep one sample."""
        self.samples.setdefault(key, {}).setdefault(peer, []).append(value)

    def fail(self, keys: Iterable[str], peer: str, reason: str) -> None:
        """Note why these could not be measured; the first reason stays."""
        for key in keys:
            self.failures.setdefault(key, {}).setdefault(peer, reason)

    def median(self, key: str, peer: str) -> float | None:
        """The median of the samples, or None when nothing was measured."""
        values = self.samples.get(key, {}).get(peer)
        return statistics.median(values) if values else None


@dataclass
class Bench:
    """What a figure may use: the peers asked for, a folder, how much effort, where to report."""

    peers: Sequence[Peer]
    folder: Path
    effort: Effort
    measurements: Measurements
    say: Callable[[str], None]

    def peer(self, name: str) -> Peer | None:
        """The peer of that name, if it takes part."""
        return next((peer for peer in self.peers if peer.name == name), None)


@dataclass(frozen=True)
class ServedFigure:
    """A figure taken on each peer's running server, in every round.

    ``writes`` marks those that depend on how durable a commit is: they are taken of the durable
    variant of a peer too.
    """

    name: str
    quantities: tuple[Quantity, ...]
    measure: Callable[[Server, Effort], dict[str, float]]
    writes: bool = False


@dataclass(frozen=True)
class LoneFigure:
    """A figure that starts what it needs by itself, once a run."""

    name: str
    quantities: tuple[Quantity, ...]
    measure: Callable[[Bench], None]
