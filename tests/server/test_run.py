"""The server as a process: it starts, refuses what it must, and stops without losing anything."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from headrace.errors import InvalidRequest
from headrace.http.listening import address_of, listen
from headrace.server.run import check, refuse_to_serve_everybody, serve
from headrace.server.settings import ServerSettings
from headrace.store.open import open_store
from headrace.store.users import Role
from tests.fixtures.child_process import start_child
from tests.fixtures.servers import RunningServer

SCRIPT = """
import json, sys
from headrace.server.run import serve
from headrace.server.settings import ServerSettings
if __name__ == "__main__":
    serve(ServerSettings(**json.loads(sys.argv[1])), lambda url: print(url, flush=True))
"""

STUCK = (
    """
import threading
from headrace.http import listening
from headrace.store.sql.database import Database
listening.CLOSE_TIMEOUT = 0.2
Database.close = lambda self: threading.Event().wait(600)
"""
    + SCRIPT
)

LISTING = (
    SCRIPT
    + """
    print(json.dumps(sorted(sys.modules)), flush=True)
"""
)

MODULES = 650

Start = Callable[..., RunningServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `serve` in a process of its own, and waits for its first answer."""
    running: list[RunningServer] = []

    def start_one(wait: bool = True, script: str = SCRIPT, **options: object) -> RunningServer:
        number = len(running)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "port": port,
            "backend_store_uri": f"sqlite:///{tmp_path}/run.db",
            "artifacts_destination": f"{tmp_path}/artifacts",
            **options,
        }
        log = tmp_path / f"server-{number}.log"
        process = start_child(
            [sys.executable, "-c", script, json.dumps(settings)],
            log=log,
            parent_death_signal=signal.SIGKILL,
        )
        server = RunningServer(f"http://127.0.0.1:{port}", port, process, log)
        running.append(server)
        if wait:
            server.wait_until_healthy()
        return server

    yield start_one
    for server in running:
        if server.process.poll() is None:
            server.kill()


def post(server: RunningServer, path: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def new_run(server: RunningServer) -> str:
    run = post(server, "runs/create", {"experiment_id": "0"})["run"]
    return str(run["info"]["run_id"])  # type: ignore[index]  # JSON


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_says_where_and_stops_with_status_0(start: Start, number: int) -> None:
    server = start()
    assert server.url in server.log
    keeping = http.client.HTTPConnection("127.0.0.1", server.port)
    keeping.request("GET", "/version")
    keeping.getresponse().read()  # an idle connection does not keep the server up
    server.process.send_signal(number)
    assert server.process.wait(20) == 0  # calls under way would have had 30 seconds
    keeping.close()
    assert "Traceback" not in server.log


def test_what_is_under_way_at_the_end_is_committed_and_answered(
    start: Start, tmp_path: Path
) -> None:
    server = start()
    run_id = new_run(server)
    acknowledged: list[int] = []
    errors: list[str] = []
    halfway = threading.Event()

    def write(lane: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        for n in range(100_000):
            step = lane * 1_000_000 + n
            point = {"run_id": run_id, "key": "k", "value": 1, "timestamp": 1, "step": step}
            try:
                connection.request(
                    "POST",
                    "/api/2.0/mlflow/runs/log-metric",
                    json.dumps(point),
                    {"Content-Type": "application/json"},
                )
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                return  # the server has stopped; this point was not acknowledged
            body = answer.read()
            if answer.status != 200:
                errors.append(body.decode())
                return
            acknowledged.append(step)
            if len(acknowledged) > 200:
                halfway.set()

    threads = [threading.Thread(target=write, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    assert halfway.wait(30)
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    assert errors == []

    from headrace.protocol.metrics import GetMetricHistory

    store = open_store(f"sqlite:///{tmp_path}/run.db")
    try:
        points = store.metrics.history(GetMetricHistory(run_id=run_id, metric_key="k")).metrics
    finally:
        store.close()
    stored = [point.step for point in points]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)


def test_a_database_that_does_not_close_does_not_keep_the_server(start: Start) -> None:
    server = start(script=STUCK, shutdown_timeout=1)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 1  # closing would take ten minutes
    assert "could not be closed in time" in server.log


def test_the_first_answer_loads_little_and_idle_memory_stays_small(start: Start) -> None:
    """The seconds up to it are in the benchmark: a busy machine must not fail a test."""
    server = start(script=LISTING)
    process = psutil.Process(server.process.pid)
    everything = [process, *process.children(recursive=True)]
    assert len(everything) == 1
    assert process.memory_info().rss < 80 * 1024 * 1024
    assert server.stop() == 0
    modules = json.loads(server.log.splitlines()[-1])
    assert "headrace.server.app" in modules
    assert len(modules) <= MODULES
    assert not {"numpy", "pandas", "sklearn", "matplotlib", "rich", "psycopg"} & set(modules)


def test_a_taken_port_is_named(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(InvalidRequest, match=f"port {port} .*--port"),
            listen(ServerSettings(port=port)),
        ):
            pass


def test_an_address_that_is_none_is_named() -> None:
    with (
        pytest.raises(InvalidRequest, match=r"'no\.such\.host\.invalid'"),
        listen(ServerSettings(host="no.such.host.invalid")),
    ):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_loopback_has_an_address(host: str) -> None:
    settings = ServerSettings(host=host, port=0)
    try:
        with listen(settings) as listener:
            address = address_of(listener, settings)
            port = listener.getsockname()[1]
    except InvalidRequest:
        assert ":" in host  # a machine without IPv6
        return
    assert address.endswith(f":{port}")
    assert address.startswith("http://[::1]" if ":" in host else "http://")
    assert settings.is_local


def test_several_workers_on_sqlite_are_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRequest, match=r"SQLite lets one process write.*postgresql://"):
        check(ServerSettings(workers=2))
    check(ServerSettings(workers=2, backend_store_uri="postgresql://somewhere/db"))


def test_another_server_is_no_database() -> None:
    with pytest.raises(InvalidRequest, match="expected a database"):
        serve(ServerSettings(backend_store_uri="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "options",
    [
        {"port": 70_000},
        {"workers": 0},
        {"public_url": "runs.example.org"},
        {"public_url": "ftp://runs.example.org"},
        {"allowed_origins": ("runs.example.org",)},
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        ServerSettings(**options)  # type: ignore[arg-type]  # wrong on purpose


def test_serving_everybody_needs_users_or_the_word(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/open.db"
    beyond = ServerSettings(host="0.0.0.0", backend_store_uri=uri)  # noqa: S104 - the point
    with pytest.raises(InvalidRequest) as refused:
        serve(beyond)
    for way_out in ("headrace users add", "--host 127.0.0.1", "--insecure"):
        assert way_out in refused.value.message
    store = open_store(uri)
    try:
        insecure = ServerSettings(host="0.0.0.0", insecure=True)  # noqa: S104 - the point
        refuse_to_serve_everybody(store, insecure)
        refuse_to_serve_everybody(store, ServerSettings(host="::1"))
        assert store.users is not None
        store.users.create("ann", "a password", Role.ADMIN)
        refuse_to_serve_everybody(store, beyond)
    finally:
        store.close()


def test_workers_share_a_socket_are_replaced_and_stop(start: Start, postgres_uri: str) -> None:
    server = start(backend_store_uri=postgres_uri, workers=2)
    run_id = new_run(server)
    for n in range(50):
        point = {"run_id": run_id, "key": "k", "value": n, "timestamp": n}
        assert post(server, "runs/log-metric", point) == {}
    parent = psutil.Process(server.process.pid)
    workers = workers_of(parent)
    assert len(workers) == 2

    workers[0].kill()
    deadline = time.monotonic() + 20
    while len(after := workers_of(parent)) < 2 or workers[0] in after:
        assert time.monotonic() < deadline
        parent.is_running()
    server.wait_until_healthy()
    assert server.stop() == 0
    assert not any(worker.is_running() for worker in after)


def test_workers_stop_when_their_parent_is_killed(start: Start, postgres_uri: str) -> None:
    server = start(backend_store_uri=postgres_uri, workers=2)
    workers = workers_of(psutil.Process(server.process.pid))
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_workers_that_cannot_start_end_the_server(start: Start, tmp_path: Path) -> None:
    # The parent opens the database, then nobody can: the folder of artifacts is a file.
    (tmp_path / "artifacts").write_text("in the way")
    server = start(wait=False)
    assert server.process.wait(30) != 0
    assert isinstance(server.process, subprocess.Popen)


def workers_of(parent: psutil.Process) -> list[psutil.Process]:
    """The workers, without the tracker process that Python starts beside spawned ones."""
    found = []
    for child in parent.children(recursive=True):
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
