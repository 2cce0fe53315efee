"""Servers that the tests of a file share, and fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.server.live import Live, live_server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An open server that all tests of a file share."""
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def start_live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts a server with settings of the test's own."""
    with ExitStack() as stack:

        def start(**options: Any) -> Live:
            return stack.enter_context(live_server(tmp_path, **options))

        yield start
