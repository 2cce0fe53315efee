"""Fixtures of the tests that kill, cut off and fill up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.logging_world import World
from tests.fixtures.servers import RunningServer, ServerLauncher


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A folder of journals of its own; programs and senders end with the test."""
    work = tmp_path / "work"
    work.mkdir()
    made = World(work, tmp_path / "journal")
    monkeypatch.setenv("HEADRACE_JOURNAL", str(made.journal))
    monkeypatch.setenv("HEADRACE_CAPTURE", "false")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_server(start_shared_server: ServerLauncher) -> RunningServer:
    """A server that the tests of a file share."""
    return start_shared_server()
