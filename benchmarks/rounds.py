"""The rounds: in each, every peer's server starts on a new database and does all the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import durability
from benchmarks.load import LoadError
from benchmarks.measurements import Bench, Quantity, ServedFigure
from benchmarks.peers import Peer, PeerError, Server, running

START = Quantity("start", "start to first answer, new database", "s", at_most=1.0)
IDLE = Quantity("idle_memory", "idle memory, all processes", "MB", at_most=80)
AFTER = Quantity("memory_after", "memory after the work, all processes", "MB", at_most=150)
SERVER_QUANTITIES = (START, IDLE, AFTER)


def run_rounds(bench: Bench, figures: Sequence[ServedFigure]) -> None:
    """Measure the figures (and start and memory) on all peers, in turn, several times."""
    for number in range(1, bench.effort.rounds + 1):
        for peer in bench.peers:
            where = f"round {number} of {bench.effort.rounds}, {peer.title}"
            with_server(bench, peer, bench.folder / f"{peer.name}-{number}", figures, where)


def with_server(
    bench: Bench, peer: Peer, folder: Path, figures: Sequence[ServedFigure], where: str
) -> None:
    """One peer's turn: start, figures, memory, stop."""
    found = bench.measurements
    keys = [quantity.key for quantity in SERVER_QUANTITIES]
    bench.say(f"{where}: starting")
    try:
        with running(peer, folder) as server:
            found.add(START.key, peer.name, server.start_s)
            found.add(IDLE.key, peer.name, server.settled_memory())
            if peer.name not in found.durability:
                bench.say(f"{where}: durability")
                found.durability[peer.name] = durability.describe(server)
            for figure in figures:
                if peer.writes_only and not figure.writes:
                    continue
                bench.say(f"{where}: {figure.name}")
                take(bench, server, figure)
            found.add(AFTER.key, peer.name, server.settled_memory())
    except (PeerError, LoadError, OSError) as error:
        for figure in figures:
            keys += [quantity.key for quantity in figure.quantities]
        found.fail(keys, peer.name, str(error))
        bench.say(f"{where}: {error}")


def take(bench: Bench, server: Server, figure: ServedFigure, suffix: str = "") -> None:
    """Measure one figure on a running server; a failure is noted and the others go on."""
    name = server.peer.name
    try:
        values = figure.measure(server, bench.effort)
    except (LoadError, OSError, ValueError, LookupError) as error:
        keys = [quantity.key + suffix for quantity in figure.quantities]
        bench.measurements.fail(keys, name, str(error) or repr(error))
        server.wire.close()
        bench.say(f"{figure.name} failed on {server.peer.title}: {error}")
        return
    for key, value in values.items():
        bench.measurements.add(key + suffix, name, value)
