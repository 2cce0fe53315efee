"""What ``import headrace`` costs: CPU seconds and modules, in a process of its own.

Headrace's first ``log_metric`` returns when the point is in the journal; MLflow's when it is in the
database. So the CPU until it is stored, a sender's included, is given as well.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.peers import Peer
from benchmarks.sdk import PEERS, noting_failures, run_program


def measure(bench: Bench) -> None:
    for peer in bench.peers:
        if peer.name not in PEERS:
            continue
        bench.say(f"import_cost, {peer.title}")
        with noting_failures(bench, peer, FIGURE.quantities):
            for _ in range(bench.effort.imports if peer.name == "headrace" else 2):
                for key, value in measure_once(bench, peer).items():
                    bench.measurements.add(key, peer.name, value)


def measure_once(bench: Bench, peer: Peer) -> dict[str, float]:
    """One import in a new process, tracking into a new SQLite file, and one with autologging."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        uri = f"sqlite:///{folder}/first.db"
        first = run_program(peer, Path(folder), uri, "first")
        autolog = run_program(peer, Path(folder), uri, "autolog")
    first["stored_cpu"] += first["sender_cpu"]
    figures = first | autolog
    return {quantity.key: figures[quantity.key] for quantity in FIGURE.quantities}


FIGURE = LoneFigure(
    "import_cost",
    (
        Quantity("import_cpu", "import, CPU", "s", at_most=0.15),
        Quantity("import_modules", "import, loaded", "modules", at_most=350),
        Quantity("autolog_cpu", "import + autolog(), CPU", "s", at_most=0.15),
        Quantity("autolog_modules", "import + autolog(), loaded", "modules", at_most=350),
        Quantity(
            "first_metric_cpu",
            "import + start_run + first log_metric on a new SQLite file, CPU of the program",
            "s",
            at_most=0.5,
        ),
        Quantity("stored_cpu", "the same until it is in the database, CPU of all processes", "s"),
    ),
    measure,
)
