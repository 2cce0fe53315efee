"""What is logged: metrics as training writes them, and runs as a search finds them.

Everything comes from seeded generators, so that all servers see the same work.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

STARTED_MS = 1_795_239_420_113
METRIC_KEYS = (
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "grad_norm",
    "epoch_seconds",
    "throughput",
    "system/cpu_utilization",
    "system/memory_used",
)
OPTIMIZERS = ("adam", "sgd", "rmsprop", "lion")

Metric = tuple[str, float, int, int]
Pair = tuple[str, str]


def training_batches(seed: int, keys: int = 10, steps: int = 10) -> Iterator[list[Metric]]:
    """Endless batches of one run's training: each of ``keys`` metrics at ``steps`` new steps."""
    rng = random.Random(seed)
    step = 0
    while True:
        batch: list[Metric] = []
        for _ in range(steps):
            now = STARTED_MS + 250 * step + rng.randrange(50)
            batch += [(key, rng.random(), now, step) for key in METRIC_KEYS[:keys]]
            step += 1
        yield batch


@dataclass(frozen=True)
class RunContent:
    """What one finished run of a sweep holds: 10 metrics, 10 params and a tag."""

    metrics: list[Metric]
    params: list[Pair]
    tags: list[Pair]


def sweep(count: int, seed: int = 7) -> list[RunContent]:
    """The contents of ``count`` runs; ``lr`` is nearly unique, ``optimizer`` one of four."""
    rng = random.Random(seed)
    return [run_content(rng) for _ in range(count)]


def run_content(rng: random.Random) -> RunContent:
    """One run of a sweep."""
    metrics = [(key, rng.random(), STARTED_MS + 60_000, 100) for key in METRIC_KEYS]
    params = [
        ("optimizer", rng.choice(OPTIMIZERS)),
        ("lr", f"{rng.random():.6f}"),
        ("batch_size", str(2 ** rng.randrange(4, 10))),
        ("layers", str(rng.randrange(1, 25))),
        ("dropout", f"{rng.random():.2f}"),
        ("seed", str(rng.randrange(1000))),
        ("width", str(64 * rng.randrange(1, 17))),
        ("epochs", "100"),
        ("data", "cifar10"),
        ("activation", rng.choice(("relu", "gelu", "silu"))),
    ]
    return RunContent(metrics, params, [("stage", rng.choice(("draft", "final")))])
