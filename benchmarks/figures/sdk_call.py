"""One call of ``log_metric``, in a program whose server is there: what training waits for."""

from __future__ import annotations

from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.sdk import PEERS, noting_failures, run_program, served


def measure(bench: Bench) -> None:
    effort = bench.effort
    for peer in bench.peers:
        if peer.name not in PEERS:
            continue
        bench.say(f"sdk_call, {peer.title}")
        count = effort.sdk_calls if peer.name == "headrace" else effort.sdk_peer_calls
        with noting_failures(bench, peer, FIGURE.quantities), served(bench, peer, "call") as where:
            server, uri = where
            for way in ("default", "asynchronous"):
                # In either order of ways the server is warm: each program begins with some calls.
                figures = run_program(peer, server.place.folder, uri, "calls", str(count), way)
                for name in ("p50", "p99"):
                    bench.measurements.add(f"sdk_{way}_{name}", peer.name, figures[name])


FIGURE = LoneFigure(
    "sdk_call",
    (
        Quantity("sdk_default_p50", "SDK: a call of log_metric, half take", "µs", at_most=10),
        Quantity("sdk_default_p99", "SDK: a call of log_metric, 99 % take", "µs", at_most=50),
        Quantity("sdk_asynchronous_p50", "SDK: the same, synchronous=False, half take", "µs"),
        Quantity("sdk_asynchronous_p99", "SDK: the same, synchronous=False, 99 % take", "µs"),
    ),
    measure,
)
