"""Workers of a server that has many connections open: the number of their socket is large."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.http.door import raise_file_limit, room_for
from headrace.serving.engines.base import Finished, Started
from headrace.serving.worker.calls import Call
from tests.serving.conftest import PoolMaker
from tests.serving.loops import in_loop
from tests.serving.models import answered, asked
from tests.serving.test_streams import events_of, made_pool, pieces

MANY = 1100
"""More than the C library's `select` can look after."""


@in_loop
async def test_a_worker_makes_text_and_predicts(unruly: Path, make_pool: PoolMaker) -> None:
    raise_file_limit()
    if room_for(None) < MANY:
        pytest.skip(f"needs {2 * MANY} files: ulimit -Hn")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY)]
    try:
        async with made_pool(make_pool, unruly) as pool:
            events = await events_of(pool, "count 3", choices=2)
            found = await pool.predict(Call("invocations", asked("echo")))
    finally:
        for each in held:
            os.close(each)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert len(pieces(events)) == 6
    assert answered(bytes(found.body)) == ["0.0"]
