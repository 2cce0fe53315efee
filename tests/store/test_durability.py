"""What was acknowledged is on disk: seen by tracing system calls, and by killing the process."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.store.open import open_store
from headrace.testing.store_builders import as_dict, get_run, history, new_run
from tests.store import logging_process

_SYNC = re.compile(r"\b(fsync|fdatasync)\(\d+\)\s+= 0")
_RESUMED_SYNC = re.compile(r"<\.\.\. (fsync|fdatasync) resumed>.*= 0")


def test_every_answer_comes_after_a_sync(sqlite_uri: str, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace on this machine")
    store = open_store(sqlite_uri)
    run_id = new_run(store)
    store.close()
    trace = tmp_path / "trace"
    words = [strace, "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write"]
    traced = subprocess.run(
        [*words, *logging_process.command(sqlite_uri, run_id, 1, 12)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if "Operation not permitted" in traced.stderr:
        pytest.skip("this machine does not let strace trace")
    assert traced.returncode == 0, traced.stderr
    synced: dict[str, int] = {}
    asked = None
    for line in trace.read_text().splitlines():
        marker = re.search(r'write\(1, "(ask|done) (\d+)\\n"', line)
        if marker and marker[1] == "ask":
            asked = marker[2]
            synced[asked] = 0
        elif marker:
            asked = None
        elif asked and (_SYNC.search(line) or _RESUMED_SYNC.search(line)):
            synced[asked] += 1
    assert list(synced) == [str(n) for n in range(1, 13)]
    assert all(synced.values()), f"answered before they were on disk: {synced}"


def kill_and_check(uri: str, kills: int, seed: int) -> None:
    """Kill a process that logs, at random moments, and look what is there."""
    chance = random.Random(seed)
    store = open_store(uri)
    for _ in range(kills):
        run_id = new_run(store)
        process = logging_process.start(uri, run_id, 1, 100_000)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.4))
        process.kill()
        lines = [first, *process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        asked = max(int(line.split()[1]) for line in lines if line.startswith(b"ask"))
        done = max((int(line.split()[1]) for line in lines if line.startswith(b"done")), default=0)
        found = [point.step for point in history(store, run_id, "m")]
        # What was being written may be there or not; everything before it is, once.
        assert found in (list(range(1, done + 1)), list(range(1, asked + 1)))
        even = [n for n in found if n % 2 == 0]
        data = get_run(store, run_id).data
        assert as_dict(data.params) == {f"p{n}": str(n) for n in even}
        assert as_dict(data.tags).get("last") == (str(even[-1]) if even else None)
    store.close()


def test_nothing_acknowledged_is_lost(database_uri: str) -> None:
    kill_and_check(database_uri, kills=2, seed=11)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_in_many_kills(database_uri: str) -> None:
    kill_and_check(database_uri, kills=20, seed=int(time.time()))


_FULL_DISK = """
import resource, signal, sqlite3, sys
from headrace.errors import Unavailable
from headrace.protocol import runs
from headrace.store.open import open_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = sys.argv[1]
store = open_store(f"sqlite:///{path}")
run_id = store.runs.create(runs.CreateRun()).run.info.run_id

def note(number):
    request = runs.LogParam(run_id=run_id, key=f"p{number}", value="x" * 50_000)
    store.runs.log_param(request)

resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
stored, refused = set(), set()
for number in range(80):
    try:
        note(number)
        stored.add(f"p{number}")
    except Unavailable as error:
        assert "disk" in str(error) and "INSERT" not in str(error), error
        refused.add(f"p{number}")
assert len(stored) > 5 and len(refused) > 5, (stored, refused)
params = {param.key for param in store.runs.get(runs.RunRef(run_id)).run.data.params}
assert params == stored, params ^ stored
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for key in refused:
    note(int(key[1:]))
params = {param.key for param in store.runs.get(runs.RunRef(run_id)).run.data.params}
assert params == stored | refused
store.close()
assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
"""


def test_a_full_disk_is_unavailable_until_there_is_room(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path / "headrace.db")], check=True, timeout=60
    )
