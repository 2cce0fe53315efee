"""What ``import headrace`` costs: CPU seconds and modules, in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile

from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.peers import Peer

PROGRAM = """
import os, sys, time
before = time.process_time()
import {module} as tracking
imported = time.process_time() - before
modules = len(sys.modules)
tracking.set_tracking_uri({uri!r})
tracking.start_run()
tracking.log_metric("loss", 0.5, step=1)
children = os.times().children_user + os.times().children_system
print("FIGURES", imported, modules, time.process_time() - before + children, flush=True)
os._exit(0)  # ending the run is no part of the figure
"""
MODULES = {"headrace": "headrace", "mlflow": "mlflow"}
LIMIT_S = 180


def measure(bench: Bench) -> None:
    for peer in bench.peers:
        if peer.name in MODULES:
            bench.say(f"import_cost, {peer.title}")
            for _ in range(bench.effort.imports if peer.name == "headrace" else 2):
                if not measure_once(bench, peer):
                    break


def measure_once(bench: Bench, peer: Peer) -> bool:
    """One import in a new process, tracking into a new SQLite file; false when it failed."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        program = PROGRAM.format(module=MODULES[peer.name], uri=f"sqlite:///{folder}/first.db")
        done = subprocess.run(
            [peer.program("python"), "-c", program],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, **peer.variables()},
        )
    line = next((row for row in done.stdout.splitlines() if row.startswith("FIGURES ")), None)
    if line is None:
        reason = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        keys = [quantity.key for quantity in FIGURE.quantities]
        bench.measurements.fail(keys, peer.name, reason[0])
        return False
    for quantity, value in zip(FIGURE.quantities, line.split()[1:], strict=True):
        bench.measurements.add(quantity.key, peer.name, float(value))
    return True


FIGURE = LoneFigure(
    "import_cost",
    (
        Quantity("import_cpu", "import, CPU", "s", at_most=0.15),
        Quantity("import_modules", "import, loaded", "modules", at_most=350),
        Quantity(
            "first_metric_cpu",
            "import + start_run + first log_metric on a new SQLite file, CPU",
            "s",
            at_most=0.5,
        ),
    ),
    measure,
)
