"""``python -m benchmarks.serving``: the servers of models alone, for those who tune one.

Prints the table and keeps nothing; ``python -m benchmarks`` measures the same for the record.
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.__main__ import Names
from benchmarks.figures import OF_MODELS
from benchmarks.measurements import FULL, QUICK, Bench, Measurements
from benchmarks.report import Report, Table
from benchmarks.serving_peers import SERVING_PEERS

FIGURES = {figure.name: figure for figure in OF_MODELS}
WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    effort = QUICK if options.quick else FULL
    effort = replace(
        effort, seconds=options.seconds or effort.seconds, rounds=options.rounds or effort.rounds
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    peers = [SERVING_PEERS[name] for name in options.only]
    measurements = Measurements()
    chosen = [FIGURES[name] for name in options.figures]
    with tempfile.TemporaryDirectory(prefix="headrace-serving-") as name:
        here = machine.describe(Path(name))
        bench = Bench(peers, Path(name), effort, measurements, lambda text: print(f"· {text}"))
        for figure in chosen:
            figure.measure(bench)
    quantities = [quantity for figure in chosen for quantity in figure.quantities]
    report = Report(
        tables=[Table("Serving models", quantities, peers, measurements)],
        versions={},
        machine=here,
        measurements=measurements,
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        settings=f"rounds: {effort.rounds}, seconds a figure: {effort.seconds:g}",
        minutes=(time.monotonic() - started) / 60,
    )
    console = Console()
    report.print(console if console.is_terminal else Console(width=WIDTH))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a wrong name is refused with the list of right ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--seconds", type=float, help="of load a figure")
    parser.add_argument("--rounds", type=int, help="how often each server has its turn")
    parser.add_argument(
        "--only",
        type=Names(tuple(SERVING_PEERS)),
        default=list(SERVING_PEERS),
        help=f"servers, with commas between: {', '.join(SERVING_PEERS)}",
    )
    parser.add_argument(
        "--figures",
        type=Names(tuple(FIGURES)),
        default=list(FIGURES),
        help=f"with commas between: {', '.join(FIGURES)}",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
