"""Who waits for a prediction, and for how long, whatever becomes of the workers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from headrace.serving.predictions import Predictions
from headrace.serving.settings import ServingSettings
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call
from headrace.serving.worker_process import WorkerProcess
from headrace.serving.worker_spec import WorkerSpec
from tests.serving.conftest import PoolMaker
from tests.serving.loops import in_loop

TIMEOUT = 0.2


class Those:
    """Workers that are there."""

    def __init__(self, *workers: WorkerProcess) -> None:
        self._workers = workers

    def ready(self) -> Iterable[WorkerProcess]:
        """All of them."""
        return self._workers


@in_loop
async def test_what_a_slow_worker_is_at_is_not_given_up_before_it_answers(
    unruly: Path, make_pool: PoolMaker
) -> None:
    """To try it alone would take too long, but the worker that has it may be about to answer."""
    worker = WorkerProcess(WorkerSpec(Path(sys.executable), {}), make_pool(unruly), None)
    predictions = Predictions("slow", ServingSettings(timeout=TIMEOUT), Those(worker))
    asked = [predictions.submit(Call("invocations", b"{}")) for _ in range(2)]
    predictions.give()
    assert predictions.under_way == 2
    for _ in range(20):
        predictions.policy.observe(1, TIMEOUT * 0.49)
    await asyncio.sleep(TIMEOUT * 0.6)  # or more
    predictions.take_apart(worker)
    assert not any(done.done() for done in asked)
    predictions.answered(worker, [Answered(b"1"), Answered(b"2")])
    assert [(await done).body for done in asked] == [b"1", b"2"]
