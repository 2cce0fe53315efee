"""What it takes to start a worker."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.serving.spawning import PROGRAM, Reserve, Spawned, spawn


@dataclass(frozen=True)
class WorkerSpec:
    """What it takes to start a worker: the same for all that serve one version."""

    python: Path
    """The interpreter of the model's environment."""
    handed: dict[str, Any]
    """The model, as `models.handover` hands it over."""
    config: dict[str, Any] | None = None
    """Goes over the model's own configuration."""
    engine: dict[str, Any] | None = None
    """Which engine makes text, how many places and threads it has, and whether each error of the
    model is logged in full."""
    program: tuple[str, ...] = PROGRAM
    """What the interpreter runs, before the number of the socket."""
    reserve: Reserve | None = None
    """Where a worker may be that was started ahead."""
    niceness: int = 0
    """How far it yields to others where the processors are busy, as `nice` counts it."""

    def spawned(self) -> Spawned:
        """The process of a worker, to be given the model. Raises OSError."""
        threads = (self.engine or {}).get("threads")
        ahead = self.reserve.take(self.python, threads) if self.reserve is not None else None
        spawned = ahead or spawn(self.python, threads, program=self.program)
        if self.niceness:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            # It leads a group: all of its threads, and what it has started by now.
            os.setpriority(os.PRIO_PGRP, spawned.process.pid, own + self.niceness)
        return spawned
