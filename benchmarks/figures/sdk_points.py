"""A loop that logs as fast as it can: until all is readable, its calls meanwhile, its memory.

MLflow's part is its asynchronous way, with fewer points: its default one makes a request a point.
"""

from __future__ import annotations

from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.sdk import PEERS, noting_failures, run_program, served


def measure(bench: Bench) -> None:
    effort = bench.effort
    for peer in bench.peers:
        if peer.name not in PEERS:
            continue
        ours = peer.name == "headrace"
        count = effort.sdk_points if ours else effort.sdk_peer_points
        way = "default" if ours else "asynchronous"
        bench.say(f"sdk_points: {count:,} points through {peer.title}")
        with noting_failures(bench, peer, FIGURE.quantities), served(bench, peer, "loop") as where:
            server, uri = where
            figures = run_program(peer, server.place.folder, uri, "points", str(count), way)
            add = bench.measurements.add
            add("sdk_points", peer.name, figures["rate"])
            add("sdk_points_p50", peer.name, figures["p50"])
            add("sdk_points_p99", peer.name, figures["p99"])
            add("sdk_points_longest", peer.name, figures["longest"] / 1e3)
            add("sdk_points_memory", peer.name, figures["memory"] / 1e6)


FIGURE = LoneFigure(
    "sdk_points",
    (
        Quantity(
            "sdk_points",
            "SDK: 1,000,000 points in a loop, until all are readable",
            "points/s",
            higher_is_better=True,
            at_least=50_000,
        ),
        Quantity("sdk_points_p50", "SDK: a call meanwhile, half take", "µs", at_most=10),
        Quantity("sdk_points_p99", "SDK: a call meanwhile, 99 % take", "µs", at_most=50),
        Quantity("sdk_points_longest", "SDK: a call meanwhile, the longest", "ms"),
        Quantity("sdk_points_memory", "SDK: what the program grew by", "MB", at_most=50),
    ),
    measure,
)
