"""The real MLflow client, in programs such as its users write, against a running server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.servers import ServerLauncher, headrace_command
from tests.wire.client import calls_of, run_program, steps_of
from tests.wire.record import CLIENT_CALLS, recorded_steps

pytestmark = pytest.mark.heavy

Reports = dict[str, dict[str, Any]]
RUNS = [
    ("tracking", "sqlite"),
    ("models", "sqlite"),
    ("files", "sqlite"),
    ("unserved", "sqlite"),
    ("users", "sqlite"),
    ("tracking", "postgresql"),
    ("models", "postgresql"),
]
PASSWORD = "long enough 1"


@pytest.fixture(scope="module")
def reports_of(
    request: pytest.FixtureRequest,
    start_shared_server: ServerLauncher,
    mlflow_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], Reports]]:
    """The reports of a program on a database; it runs when its first step is asked for."""
    found: dict[tuple[str, str], Reports] = {}
    stack = ExitStack()

    def run(program: str, database: str) -> Reports:
        if (program, database) not in found:
            folder = tmp_path_factory.mktemp(f"{program}-{database}")
            uri = f"sqlite:///{folder}/wire.db"
            if database == "postgresql":
                uri = stack.enter_context(request.getfixturevalue("postgres").new_database())
            environment = add_users(uri) if program == "users" else {}
            server = start_shared_server(backend_store_uri=uri, artifacts=folder / "artifacts")
            found[program, database] = run_program(
                mlflow_python, program, server.url, folder / "client", environment=environment
            )
            server.stop()
            assert "Traceback" not in server.log, server.log
        return found[program, database]

    with stack:
        yield run


def add_users(uri: str) -> dict[str, str]:
    """Users of a server's database; the variables that say so to MLflow's client."""

    def users(*words: str, typed: str = "") -> str:
        done = subprocess.run(
            [*headrace_command(), "users", *words, "--backend-store-uri", uri],
            input=typed,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    users("add", "writer", "--role", "write", "--password-stdin", typed=PASSWORD)
    users("add", "reader", "--role", "read", "--password-stdin", typed=PASSWORD)
    token = users("token", "create", "reader").split()[0]
    return {
        "MLFLOW_TRACKING_USERNAME": "writer",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        "MLFLOW_TRACKING_TOKEN": token,
    }


ALL_STEPS = [
    pytest.param(program, database, step, id=f"{database}-{program}-{step}")
    for program, database in RUNS
    for step in steps_of(program)
]


@pytest.mark.parametrize(("program", "database", "step"), ALL_STEPS)
def test_a_program_works(
    reports_of: Callable[[str, str], Reports], program: str, database: str, step: str
) -> None:
    report = reports_of(program, database)[step]
    assert not report["failure"], report["failure"]
    statuses = {entry["status"] for entry in report["requests"]}
    assert all(status < 500 for status in statuses), "the client would ask again for minutes"
    assert report["seconds"] < 60


@pytest.mark.parametrize(("program", "step"), recorded_steps())
def test_the_client_calls_what_it_calls_on_mlflow(
    reports_of: Callable[[str, str], Reports], program: str, step: str
) -> None:
    recorded = json.loads(CLIENT_CALLS.read_text())
    assert calls_of(reports_of(program, "sqlite")[step]) == recorded[step]


def test_a_large_file_travels_in_parts(reports_of: Callable[[str, str], Reports]) -> None:
    sent = reports_of("files", "sqlite")["a_large_file_goes_in_parts_and_comes_in_ranges"][
        "requests"
    ]
    parts = [entry for entry in sent if entry["method"] == "PUT"]
    assert len(parts) == 58  # of ten mebibytes
    assert all("Authorization" not in entry["headers"] for entry in parts)
    ranges = {entry["headers"]["Range"] for entry in sent if "Range" in entry["headers"]}
    assert len(ranges) >= 6


def test_tracing_is_given_up_soon(reports_of: Callable[[str, str], Reports]) -> None:
    report = reports_of("unserved", "sqlite")["a_traced_function_still_works"]
    assert report["seconds"] < 40  # what is asked again and again takes minutes
    traces = [entry for entry in report["requests"] if "traces" in entry["path"]]
    assert traces
    assert all(entry["status"] in (404, 501) for entry in traces)
