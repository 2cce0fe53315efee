"""Logging a model that is a folder of large files, against copying and hashing it once."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

from benchmarks.figures.artifact import write_source
from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.peers import Peer
from benchmarks.sdk import MODELLING, PEERS, noting_failures, run_program, served

FILES = 8
ROUNDS = 3


def measure(bench: Bench) -> None:
    size = bench.effort.model_bytes
    weights = bench.folder / "weights"
    weights.mkdir()
    for number in range(FILES):
        write_source(weights / f"weights-{number}.bin", size // FILES)
    try:
        for peer in bench.peers:
            if peer.name not in PEERS:
                continue
            bench.say(f"model_folder: {size >> 20} MiB, {peer.title}")
            with noting_failures(bench, peer, FIGURE.quantities):
                for number in range(ROUNDS if peer.name == "headrace" else 1):
                    to_folder(bench, peer, weights, size, number)
                    through_server(bench, peer, weights, size, number)
    finally:
        shutil.rmtree(weights, ignore_errors=True)


def to_folder(bench: Bench, peer: Peer, weights: Path, size: int, number: int) -> None:
    """Log into a database and a folder on this machine, without a server."""
    home = bench.folder / f"model-folder-{peer.name}-{number}"
    home.mkdir()
    once = copied_and_hashed(weights, home / "copy")
    figures = run_program(
        peer,
        home,
        f"sqlite:///{home}/models.db",
        "folder",
        str(weights),
        program=MODELLING,
        ARTIFACTS_DESTINATION=str(home / "artifacts"),
    )
    shutil.rmtree(home, ignore_errors=True)
    add = bench.measurements.add
    add("model_folder", peer.name, 100 * once / figures["seconds"])
    add("model_folder_rate", peer.name, size / figures["seconds"] / 1e6)
    add("model_folder_memory", peer.name, figures["memory"] / 1e6)


def through_server(bench: Bench, peer: Peer, weights: Path, size: int, number: int) -> None:
    """Log to the peer's own server on loopback."""
    with served(bench, peer, f"model-served-{number}") as (server, uri):
        home = server.place.folder
        once = copied_and_hashed(weights, home / "copy")
        figures = run_program(peer, home, uri, "folder", str(weights), program=MODELLING)
    shutil.rmtree(home, ignore_errors=True)
    bench.measurements.add("model_served", peer.name, 100 * once / figures["seconds"])
    bench.measurements.add("model_served_rate", peer.name, size / figures["seconds"] / 1e6)


def copied_and_hashed(source: Path, target: Path) -> float:
    """Seconds for a plain copy of all files, and then for the SHA-256 of each."""
    begun = time.perf_counter()
    shutil.copytree(source, target)
    for file in sorted(target.iterdir()):
        with file.open("rb") as opened:
            hashlib.file_digest(opened, "sha256")
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds


FIGURE = LoneFigure(
    "model_folder",
    (
        Quantity(
            "model_folder",
            "logging 2 GiB of weights into a folder, speed of copying and hashing it once",
            "%",
            higher_is_better=True,
            at_least=70,
        ),
        Quantity("model_folder_rate", "the same", "MB/s", higher_is_better=True),
        Quantity(
            "model_served",
            "the same through a server on this machine, speed of copying and hashing it once",
            "%",
            higher_is_better=True,
        ),
        Quantity("model_served_rate", "the same", "MB/s", higher_is_better=True),
        Quantity("model_folder_memory", "memory that logging it took", "MB", at_most=100),
    ),
    measure,
)
