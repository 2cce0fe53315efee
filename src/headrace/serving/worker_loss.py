"""Why a worker is gone."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass

from headrace.serving.calls import ModelFailed


@dataclass(frozen=True)
class Loss:
    """Why a worker is gone."""

    reason: str
    """In the past tense, after "it": "it hung for 3.0 seconds"."""
    trace: str | None = None
    """What its code raised, for the log."""
    is_hung: bool = False
    """It was ended here because it took too long."""
    is_outside: bool = False
    """Somebody else has killed it: a person, or the system for want of memory."""


class WorkerLost(Exception):
    """The process ended, or was ended, before its model was loaded."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.reason)
        self.loss = loss


class WorkerDied(ModelFailed):
    """The worker has ended over a request."""

    error_code = "INTERNAL_ERROR"
    http_status = 500


def loss_by(status: int) -> Loss:
    """Why a process is gone that has ended by itself with a status, as `Popen.returncode` has it:
    a negative one is the number of a signal.
    """
    if status >= 0:
        return Loss(f"it ended with status {status}")
    with suppress(ValueError):
        name = signal.Signals(-status).name
        return Loss(f"it was ended by {name}", is_outside=-status == signal.SIGKILL)
    return Loss(f"it was ended by signal {-status}")
