"""``python -m benchmarks``: measure, print the table, and after a full run keep it."""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.figures import ALONE, OF_MODELS, SERVED
from benchmarks.measurements import FULL, QUICK, Bench, Measurements, Quantity
from benchmarks.peers import PEERS, Peer, PeerError, ensure_installed
from benchmarks.report import Report, Table
from benchmarks.rounds import SERVER_QUANTITIES, run_rounds
from benchmarks.serving_peers import SERVING_PEERS

RESULTS = Path(__file__).with_name("RESULTS.md")
WIDTH = 140  # of the table where there is no terminal to ask
SERVER_FIGURE = "server"  # start and memory: seen in every round
NAMES = (
    *(figure.name for figure in SERVED),
    SERVER_FIGURE,
    *(figure.name for figure in (*ALONE, *OF_MODELS)),
)
ALL_PEERS: dict[str, Peer] = {**SERVING_PEERS, **PEERS}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(stderr=True)
    # Ended by a signal, it must still stop the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        console.print(f"[dim]{minutes:2d}:{seconds:02d}[/dim] {text}", highlight=False)

    with tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=options.folder) as folder:
        here = machine.describe(Path(folder))
        measurements = Measurements()
        tracking = [PEERS[name] for name in options.peers if name in PEERS]
        peers = installed_peers(tracking, measurements, say)
        bench = Bench(peers, Path(folder), QUICK if options.quick else FULL, measurements, say)
        served = [figure for figure in SERVED if figure.name in options.only]
        if served or SERVER_FIGURE in options.only:
            run_rounds(bench, served)
        for lone in ALONE:
            if lone.name in options.only:
                lone.measure(bench)
        serving = [SERVING_PEERS[name] for name in options.peers if name in SERVING_PEERS]
        for figure in OF_MODELS:
            if figure.name in options.only:
                figure.measure(replace(bench, peers=serving))
    found = [
        Table("Tracking and models", quantities_of(options.only), tracking, measurements),
        Table("Serving models", serving_quantities_of(options.only), serving, measurements),
    ]
    report = Report(
        tables=[table for table in found if table.quantities],
        versions={peer.name: peer.version() for peer in (*serving, *peers)},
        machine=here,
        measurements=measurements,
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        settings=bench.effort.text,
        minutes=(time.monotonic() - started) / 60,
    )
    terminal = Console()
    report.print(terminal if terminal.is_terminal else Console(width=WIDTH))
    whole = not options.quick and options.only == list(NAMES) and options.peers == list(ALL_PEERS)
    if options.write or whole:
        report.write(RESULTS)
        say(f"written to {RESULTS}")
    return 0


def quantities_of(names: Sequence[str]) -> list[Quantity]:
    """The rows of the first table: those of the figures asked for, but of servers of models."""
    served = [figure for figure in SERVED if figure.name in names]
    alone = [figure for figure in ALONE if figure.name in names]
    return [
        *(quantity for figure in served for quantity in figure.quantities),
        *(SERVER_QUANTITIES if served or SERVER_FIGURE in names else ()),
        *(quantity for figure in alone for quantity in figure.quantities),
    ]


def serving_quantities_of(names: Sequence[str]) -> list[Quantity]:
    """The rows of the table of servers of models."""
    return [q for figure in OF_MODELS if figure.name in names for q in figure.quantities]


def installed_peers(
    peers: Sequence[Peer], measurements: Measurements, say: Callable[[str], None]
) -> list[Peer]:
    """Those that are installed, or could be now; the others are noted as failed."""
    ready: list[Peer] = []
    keys = [quantity.key for quantity in quantities_of(NAMES)]
    for peer in peers:
        try:
            if not peer.installed():
                say(f"installing {peer.title} in {peer.environment}")
            ensure_installed(peer)
            ready.append(peer)
        except PeerError as error:
            say(str(error))
            measurements.fail(keys, peer.name, str(error))
    return ready


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a wrong name is refused with the list of right ones."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Headrace, MLflow and FastTrackML on the same work, one at a time.",
        epilog=f"figures: {', '.join(NAMES)}. A run of everything takes about 24 minutes and "
        "rewrites benchmarks/RESULTS.md.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round, about 3 minutes")
    parser.add_argument(
        "--only", type=Names(NAMES), default=list(NAMES), help="figures, with commas between"
    )
    parser.add_argument(
        "--peers",
        type=Names(tuple(ALL_PEERS)),
        default=list(ALL_PEERS),
        help=f"servers, with commas between: {', '.join(ALL_PEERS)}",
    )
    parser.add_argument(
        "--write", action="store_true", help="rewrite RESULTS.md although the run is not whole"
    )
    parser.add_argument(
        "--folder", type=Path, help="where databases are made (default: the temporary folder)"
    )
    return parser.parse_args(arguments)


class Names:
    """Reads names with commas between; keeps them in the order of the list they come from."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def __call__(self, text: str) -> list[str]:
        """The names in ``text``."""
        asked = {name.strip() for name in text.split(",") if name.strip()}
        if unknown := asked - set(self.known):
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(self.known)}"
            )
        return [name for name in self.known if name in asked]


if __name__ == "__main__":
    sys.exit(main())
