"""Workers that were never started, for tests of who is given what: they are only counted with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from headrace.serving.worker_process import Listener, WorkerProcess
from headrace.serving.worker_spec import WorkerSpec


def idle_worker() -> WorkerProcess:
    """One that says nothing, and hears nothing of what it is told."""
    return WorkerProcess(WorkerSpec(Path(sys.executable), {}), cast(Listener, None), None)


class IdleWorkers:
    """So many of them, each with room for two choices; see `Capacities`."""

    def __init__(self, number: int) -> None:
        self.workers = [idle_worker() for _ in range(number)]

    def ready(self) -> list[WorkerProcess]:
        """All of them."""
        return self.workers

    def capacity(self, _worker: WorkerProcess) -> int:
        """Two."""
        return 2
