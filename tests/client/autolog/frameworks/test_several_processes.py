"""Trainings of several processes: one of them logs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.autolog.frameworks.logged import Logged

pytestmark = pytest.mark.heavy
PROGRAM = Path(__file__).parent / "ddp.py"
ROOT = Path(__file__).parents[4]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "ddp_fork"])
def test_two_processes_of_lightning_log_one_run(
    strategy: str, database: str, only_run: Callable[[], Logged]
) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), strategy, database],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HEADRACE_EXPERIMENT_NAME": "processes",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    run = only_run()
    assert run.status == "FINISHED"
    assert run.params["optimizer_name"] == "SGD"
    assert run.steps("loss") == [0, 1]
    assert run.steps("val_loss") == [0, 1]
    assert run.metrics["stopped_epoch"] == [(0, 1.0)]
    assert run.values("best_score") == pytest.approx([run.values("val_loss")[0]])
