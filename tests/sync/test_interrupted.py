"""A copy that is killed, or whose server is, and then run again: all is there, and once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from headrace.protocol import metrics, runs
from headrace.protocol.wire import Param
from headrace.store.open import open_store
from headrace.testing.store_builders import new_experiment, new_run
from tests.fixtures.child_process import start_child
from tests.fixtures.servers import ServerLauncher, headrace_command
from tests.sync.content import content_of, fill, log, open_database, sync_uri, write_file

RUNS = 150


def fill_with_many(uri: str) -> dict[str, Any]:
    """A source that takes a while to copy; what it holds."""
    with closing(open_database(uri)) as store:
        fill(store, uri)
        number = new_experiment(store, name="many")
        for i in range(RUNS):
            run_id = new_run(store, number, run_name=f"run {i}", start_time=i)
            points = [
                metrics.Metric("m", step / 3, timestamp=step, step=step) for step in range(90)
            ]
            log(store, run_id, metrics=points, params=[Param("i", str(i))])
            place = store.runs.get(runs.RunRef(run_id)).run.info.artifact_uri
            write_file(store, uri, place, "model.bin", os.urandom(20_000))
            store.runs.update(runs.UpdateRun(run_id=run_id, status="FINISHED", end_time=i))
        return content_of(store, uri)


def start_sync(source: str, destination: str, log_path: Path) -> subprocess.Popen[bytes]:
    return start_child(
        [*headrace_command(), "sync", source, destination],
        log=log_path,
        parent_death_signal=signal.SIGKILL,
        environment={**os.environ, "HEADRACE_HTTP_MAX_RETRIES": "0"},
    )


def wait_until(file: Path, enough: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a database has `enough` runs."""
    deadline = time.monotonic() + 60
    while count_runs(file) < enough:
        assert process.poll() is None, f"it ended before it could be stopped: {log.read_text()}"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def count_runs(file: Path) -> int:
    """How many runs a database has, as another program sees it; 0 while it is being made."""
    with suppress(sqlite3.OperationalError):
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        with closing(connection):
            (found,) = connection.execute("SELECT count(*) FROM runs").fetchone()
            return int(found)
    return 0


def test_killed_again_and_again_it_copies_everything_once(tmp_path: Path) -> None:
    source, destination = sync_uri(tmp_path, "source"), sync_uri(tmp_path, "destination")
    expected = fill_with_many(source)
    file, log_path = tmp_path / "destination" / "headrace.db", tmp_path / "sync.log"
    for enough in (1, RUNS // 4, RUNS // 2):
        process = start_sync(source, destination, log_path)
        wait_until(file, enough, process, log_path)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start_sync(source, destination, log_path).wait() == 0, log_path.read_text()
    with closing(open_database(destination)) as store:
        assert content_of(store, destination) == expected


def test_when_its_server_dies_it_says_so_and_goes_on_later(
    tmp_path: Path, start_server: ServerLauncher
) -> None:
    source, log_path = sync_uri(tmp_path, "source"), tmp_path / "sync.log"
    expected = fill_with_many(source)
    database, artifacts = tmp_path / "server.db", tmp_path / "artifacts"
    server = start_server(backend_store_uri=f"sqlite:///{database}", artifacts=artifacts)
    process = start_sync(source, server.url, log_path)
    wait_until(database, RUNS // 3, process, log_path)
    server.kill()
    assert process.wait() == 1
    said = log_path.read_text()
    assert "run the same command again" in said
    assert "Traceback" not in said
    server = start_server(backend_store_uri=f"sqlite:///{database}", artifacts=artifacts)
    assert start_sync(source, server.url, log_path).wait() == 0, log_path.read_text()
    with closing(open_store(server.url)) as store:
        assert content_of(store, server.url) == expected
