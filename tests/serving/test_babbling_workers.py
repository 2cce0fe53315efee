"""Workers whose model has got hold of their socket: the server outlives what they say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.serving.calls import ModelFailed
from headrace.serving.worker.calls import Call
from tests.serving import babbling_worker
from tests.serving.conftest import PoolMaker, started
from tests.serving.loops import in_loop, until

_ANSWER = [2, "application/json", {}]


@pytest.mark.parametrize(
    "said",
    [
        {"op": "answers", "takes_several": True, "answers": [_ANSWER] * 3},
        {"op": "answers", "takes_several": True, "answers": 7},
        {"op": "answers", "takes_several": True, "answers": [[2, 7, {}]]},
        {"op": "answers", "takes_several": True, "answers": [[2, "text/plain", {"x": 5}]]},
        {"op": "events", "events": [["piece"]]},
        {"op": "failed", "message": 5, "trace": None},
        {"op": "failed", "message": "", "trace": 7},
    ],
    ids=repr,
)
def test_a_caller_is_told_at_once_and_another_worker_is_started(
    unruly: Path, make_pool: PoolMaker, said: dict[str, Any]
) -> None:
    @in_loop
    async def test() -> None:
        program = (babbling_worker.__file__, json.dumps(said))
        async with started(make_pool(unruly, program=program, timeout=600)) as pool:
            for _ in range(2):
                with pytest.raises(ModelFailed, match="language"):
                    async with asyncio.timeout(30):
                        await pool.predict(Call("invocations", b"{}"))
            await until(lambda: pool.status().restarts == 2)

    test()
