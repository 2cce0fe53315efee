"""How durable a running server's commits are: seen in its system calls, not read in its manual.

``PRAGMA synchronous`` belongs to a connection, so nobody outside can ask for it. What it does
can be seen: strace counts the fsync and fdatasync calls between the first and the last of a
number of acknowledged writes. Where strace is missing or not allowed, the table says so.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

from benchmarks import processes
from benchmarks.peers import Server

WRITES = 25
ATTACH_LIMIT_S = 10.0


def describe(server: Server) -> str:
    """The journal mode or PostgreSQL's settings, and the syncs that one write was seen to cost."""
    if server.place.database_file is None:
        return postgresql_settings(server.place.database)
    seen = syncs_per_write(server)
    syncs = (
        "syncs not traced (no strace here)"
        if seen is None
        else f"{seen:.2f} fsync/fdatasync per acknowledged write, traced with one client"
    )
    return f"journal_mode={journal_mode(server.place.database_file)}; {syncs}"


def journal_mode(file: Path) -> str:
    """SQLite's journal mode; WAL is kept in the file, the rest is a connection's own."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def postgresql_settings(uri: str) -> str:
    """The server's ``fsync`` and ``synchronous_commit``."""
    import psycopg

    with psycopg.connect(uri) as database:
        found = database.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    assert found is not None
    return f"PostgreSQL, fsync={found[0]}, synchronous_commit={found[1]}"


def syncs_per_write(server: Server) -> float | None:
    """Sync calls per ``log-metric`` of a single client, or None where they cannot be traced."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    wire = server.wire
    run = wire.new_run(wire.new_experiment("durability"))
    requests = wire.log_metrics(run, "loss")
    for request in islice(requests, 5):
        wire.ask(request)
    with tempfile.NamedTemporaryFile() as counts:
        pids = processes.group_members(server.process.pid)
        command = [strace, "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", counts.name]
        for pid in pids:
            command += ["-p", str(pid)]
        tracer = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            if not wait_until_traced(tracer, pids):
                return None
            for request in islice(requests, WRITES):
                wire.ask(request)
        finally:
            if tracer.poll() is None:
                os.kill(tracer.pid, signal.SIGINT)
            tracer.wait(timeout=ATTACH_LIMIT_S)
        text = Path(counts.name).read_text(errors="replace")
        return len(re.findall(r"\b(?:fsync|fdatasync)\(", text)) / WRITES


def wait_until_traced(tracer: subprocess.Popen[bytes], pids: list[int]) -> bool:
    """True once all threads of all processes have a tracer; false if it gave up."""
    deadline = time.monotonic() + ATTACH_LIMIT_S
    while tracer.poll() is None and time.monotonic() < deadline:
        if all(traced(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def traced(pid: int) -> bool:
    """True when every thread of the process is being traced."""
    try:
        return all(
            "\nTracerPid:\t0\n" not in (thread / "status").read_text()
            for thread in Path(f"/proc/{pid}/task").iterdir()
        )
    except OSError:
        return True  # it has ended
