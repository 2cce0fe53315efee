"""What a tree of processes holds, and how to end it: read from ``/proc``, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

STOP_LIMIT_S = 15.0


def group_members(leader: int) -> list[int]:
    """Process ids of the session that ``leader`` began, and of their descendants."""
    parents: dict[int, int] = {}
    members: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we were reading
        pid, state, parent, session = int(entry.name), fields[0], int(fields[1]), int(fields[3])
        if state == "Z":
            continue
        parents[pid] = parent
        if session == leader:
            members.add(pid)
    grew = True
    while grew:
        children = {pid for pid, parent in parents.items() if parent in members} - members
        members |= children
        grew = bool(children)
    return sorted(members)


def memory_megabytes(leader: int) -> float:
    """Proportional set size of the whole tree, in MB of 1,000,000 bytes."""
    total = 0
    for pid in group_members(leader):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended while we were reading
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def cpu_seconds(leader: int) -> float:
    """User and system time that the tree has used, its ended and reaped children's included.

    Field numbers are those of proc(5), ``/proc/pid/stat``; a tick is 10 ms.
    """
    ticks = 0
    for pid in group_members(leader):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we were reading
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds(pid: int) -> float:
    """Time that the process's threads, and no other's, were on a CPU, to the nanosecond.

    The first number of ``/proc/pid/task/tid/schedstat``, see the kernel's sched-stats.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and all that it started.

    Asks with SIGTERM, waits, then kills what is left of the session.
    """
    members = group_members(process.pid)
    for signal_number, patience in ((signal.SIGTERM, STOP_LIMIT_S), (signal.SIGKILL, STOP_LIMIT_S)):
        for pid in members:
            try:
                os.kill(pid, signal_number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + patience
        while members and time.monotonic() < deadline:
            process.poll()  # reaps the leader
            time.sleep(0.02)
            members = [pid for pid in members if alive(pid)]
        if not members:
            break
    process.wait(timeout=STOP_LIMIT_S)


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
