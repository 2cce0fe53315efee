"""Fixtures of the tests of the server of models: servers, pools, models that misbehave."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.models.handover import hand_over
from headrace.serving.pool import Pool
from headrace.serving.settings import ServingSettings
from headrace.serving.worker_spec import WorkerSpec
from tests.serving.models import save_unruly
from tests.serving.served import ServingLauncher, serving_launcher

PoolMaker = Callable[..., Pool]


@asynccontextmanager
async def started(pool: Pool) -> AsyncIterator[Pool]:
    """The pool, loaded, and ended with the block."""
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
def serving_process(tmp_path: Path) -> Iterator[ServingLauncher]:
    """Starts real servers for one test: `serving_process(folder, workers=2, timeout=5)`."""
    with serving_launcher(tmp_path) as servers:
        yield servers


@pytest.fixture(scope="module")
def shared_serving_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingLauncher]:
    """As `serving_process`, for servers that all tests of a file share."""
    with serving_launcher(tmp_path_factory.mktemp("serving")) as servers:
        yield servers


@pytest.fixture(scope="session")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that does what its rows say: see `unruly_model.py`."""
    return save_unruly(tmp_path_factory.mktemp("models") / "unruly")


@pytest.fixture
def make_pool() -> PoolMaker:
    """A pool in this process: `async with started(make_pool(folder, workers=2)) as pool`."""

    def make(
        folder: Path,
        *,
        config: dict[str, Any] | None = None,
        program: tuple[str, ...] | None = None,
        **settings: Any,
    ) -> Pool:
        spec = WorkerSpec(Path(sys.executable), hand_over(folder), config)
        if program is not None:
            spec = replace(spec, program=program)
        return Pool(folder.name, spec, ServingSettings(**settings))

    return make
