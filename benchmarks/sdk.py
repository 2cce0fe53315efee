"""Running a program that logs, and ending what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.load import LoadError
from benchmarks.measurements import Bench, Quantity
from benchmarks.peers import Peer, PeerError, Server, running
from headrace.client.ledger import Ledger
from headrace.client.sender_process import is_running

PROGRAM = Path(__file__).with_name("training.py")
MODELLING = Path(__file__).with_name("modelling.py")
LIMIT_S = 900
PEERS = ("headrace", "mlflow")


def run_program(
    peer: Peer, folder: Path, *words: str, program: Path = PROGRAM, **settings: str
) -> dict[str, float]:
    """The figures of ``training.py`` under a peer's library, in ``folder``. Raises LoadError.

    ``program`` may be another; ``settings`` are environment variables without the peer's prefix.
    Its sender is ended afterwards; its CPU, where there was one, is ``sender_cpu``.
    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    journal = home / "journal"
    done = subprocess.run(
        [peer.program("python"), str(program), peer.name, *words],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "HEADRACE_JOURNAL": str(journal),
            **{f"{peer.name.upper()}_{name}": value for name, value in settings.items()},
            **peer.variables(),
        },
    )
    sender_cpu = end_senders(journal)
    line = next((row for row in done.stdout.splitlines() if row.startswith("FIGURES ")), None)
    if line is None:
        reason = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        raise LoadError(f"{words[1]}: {reason[0]}")
    return {**json.loads(line.removeprefix("FIGURES ")), "sender_cpu": sender_cpu}


def end_senders(journal: Path) -> float:
    """End the senders of all journals in a folder; the CPU seconds that they had used."""
    used = 0.0
    for home in journal.iterdir() if journal.is_dir() else ():
        state = Ledger(home).state()
        if state is None or not is_running(home):
            continue
        with suppress(OSError):
            fields = Path(f"/proc/{state.pid}/stat").read_text().rpartition(")")[2].split()
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            os.kill(state.pid, signal.SIGTERM)
        while is_running(home):
            time.sleep(0.01)
    return used


@contextmanager
def noting_failures(bench: Bench, peer: Peer, quantities: Iterable[Quantity]) -> Iterator[None]:
    """A peer's turn: a failure is noted for these quantities, and the next one has its turn."""
    try:
        yield
    except (LoadError, PeerError, OSError, subprocess.TimeoutExpired) as error:
        bench.measurements.fail((quantity.key for quantity in quantities), peer.name, str(error))
        bench.say(f"failed on {peer.title}: {error}")


@contextmanager
def served(bench: Bench, peer: Peer, name: str) -> Iterator[tuple[Server, str]]:
    """A peer's own server on a new database, and its address for a tracking client."""
    with running(peer, bench.folder / f"{name}-{peer.name}") as server:
        host, port = server.address
        yield server, f"http://{host}:{port}"
