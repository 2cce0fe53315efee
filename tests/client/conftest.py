"""Where the tests of the client track: a fresh database, or a real server, each in turn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from headrace.client import outbox, tracking
from tests.fixtures.senders import end_senders
from tests.fixtures.servers import ServerLauncher


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test works in a folder of its own, and leaves no run, store or setting behind."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    outside = {name: value for name, value in os.environ.items() if name.startswith("HEADRACE_")}
    # By way of monkeypatch, for it takes back what tests set after what we set here.
    monkeypatch.setenv("HEADRACE_JOURNAL", str(tmp_path / "journal"))
    # What is captured by default has tests of its own.
    monkeypatch.setenv("HEADRACE_CAPTURE", "false")
    yield tmp_path / "work"
    while headrace.active_run():
        headrace.end_run()
    outbox.close_outboxes()
    end_senders(tmp_path / "journal")
    headrace.set_tracking_uri("")
    headrace.set_registry_uri("")
    tracking.close_stores()
    for name in list(os.environ):
        if name.startswith(("HEADRACE_", "MLFLOW_")):
            del os.environ[name]
    os.environ.update(outside)


@pytest.fixture(scope="module")
def server_url(start_shared_server: ServerLauncher) -> str:
    """A server that the tests of a file share; each uses an experiment of its own."""
    return start_shared_server().url


@pytest.fixture(params=["database", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database, then a server, set as the tracking URI, with an experiment for this test."""
    if request.param == "database":
        where = f"sqlite:///{tmp_path}/headrace.db"
    else:
        where = str(request.getfixturevalue("server_url"))
    headrace.set_tracking_uri(where)
    headrace.set_experiment(request.node.name)
    return where


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database alone, for what does not depend on where it is tracked."""
    where = f"sqlite:///{tmp_path}/headrace.db"
    headrace.set_tracking_uri(where)
    headrace.set_experiment(request.node.name)
    return where
