"""The fixtures that other tests stand on keep their promises."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.fixtures.child_process import start_child
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.servers import RunningServer, ServerLauncher


def test_postgres_is_the_version_that_was_asked_for(
    postgres: PostgresServer, request: pytest.FixtureRequest
) -> None:
    wanted = request.config.getoption("--postgres-version")
    with psycopg.connect(postgres.uri()) as connection:
        assert connection.info.server_version // 10_000 == wanted


def test_each_database_is_new_and_is_dropped(postgres: PostgresServer) -> None:
    with postgres.new_database() as first, postgres.new_database() as second:
        assert first != second
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute("CREATE TABLE runs (id integer)")
        with psycopg.connect(second) as connection:
            tables = connection.execute("SELECT 1 FROM pg_tables WHERE tablename = 'runs'")
            assert tables.fetchall() == []
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first)


def test_a_database_in_use_is_dropped_all_the_same(postgres: PostgresServer) -> None:
    with postgres.new_database() as uri:
        connection = psycopg.connect(uri)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_postgres_can_be_lost_and_come_back(tmp_path: Path, postgres: PostgresServer) -> None:
    postgres.stop()
    try:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres.uri())
    finally:
        postgres.start()
    psycopg.connect(postgres.uri()).close()


def test_database_uri_names_both_kinds(database_uri: str) -> None:
    assert database_uri.partition(":")[0] in {"sqlite", "postgresql"}


def test_free_port_can_be_bound(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_child_ends_when_the_test_run_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, sys, time; from pathlib import Path;"
            "from tests.fixtures.child_process import start_child;"
            "child = start_child([sys.executable, '-c', 'import time; time.sleep(600)'],"
            f" log=Path({str(tmp_path / 'log')!r}), parent_death_signal=signal.SIGKILL);"
            "print(child.pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start_child(
        [sys.executable, "-c", "raise SystemExit('no such option')"],
        log=log,
        parent_death_signal=signal.SIGKILL,
    )
    server = RunningServer("http://127.0.0.1:9", 9, process, log)
    with pytest.raises(AssertionError, match="no such option"):
        server.wait_until_healthy()


def test_a_server_that_is_late_is_reported_and_can_be_killed(
    tmp_path: Path, free_port: int
) -> None:
    process = start_child(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        log=tmp_path / "log",
        parent_death_signal=signal.SIGKILL,
    )
    server = RunningServer(f"http://127.0.0.1:{free_port}", free_port, process, tmp_path / "log")
    started = time.monotonic()
    with pytest.raises(AssertionError, match="not healthy"):
        server.wait_until_healthy(timeout=0.1)
    assert time.monotonic() - started < 10
    server.kill()
    assert server.process.returncode == -signal.SIGKILL


def test_start_server_starts_the_real_one_and_it_ends_when_told(
    start_server: ServerLauncher, tmp_path: Path
) -> None:
    polite, rude = start_server(), start_server()
    with urllib.request.urlopen(f"{polite.url}/health", timeout=10) as answer:
        assert answer.status == 200
    assert (tmp_path / "0.db").exists()
    assert polite.stop() == 0
    rude.kill()
    assert rude.process.returncode == -signal.SIGKILL


def test_settings_of_the_outside_are_not_seen() -> None:
    names = {name for name in os.environ if name.startswith(("HEADRACE_", "MLFLOW_"))}
    assert names == {"HEADRACE_CACHE", "HEADRACE_JOURNAL", "HEADRACE_KEYS"}  # the tests' own
