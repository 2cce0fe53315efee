"""What MLflow's own stores write in a form of their own, as the protocol's values."""

from __future__ import annotations

import math
import sys
from typing import Any, Final

from headrace.errors import InvalidState
from headrace.protocol.model_versions import READY
from headrace.protocol.runs import RUN_NAME_TAG, USER_TAG, RunStatus
from headrace.protocol.wire import Tag

DEFAULT_WORKSPACE: Final = "default"
DELETED: Final = "deleted"
DELETED_STAGE: Final = "Deleted_Internal"
"""The stage of a model version that was deleted; MLflow keeps its row, without its content."""

_STATUSES: Final = {str(number): status for number, status in enumerate(RunStatus, 1)}
_LARGEST: Final = sys.float_info.max


def metric_value(value: float | None, is_nan: Any = False) -> float:
    """The value that was logged.

    MLflow's databases keep NaN as a flag beside a zero, and the infinities as the largest
    floating-point numbers.
    """
    if is_nan or value is None:
        return math.nan
    if abs(value) >= _LARGEST:
        return math.copysign(math.inf, value)
    return float(value)


def run_status(value: Any) -> RunStatus:
    """The status behind a name, or a number as `mlruns` folders have it. InvalidState."""
    if value is None:
        return RunStatus.RUNNING
    text = str(value)
    if text in _STATUSES:
        return _STATUSES[text]
    if text in RunStatus.__members__:
        return RunStatus[text]
    raise InvalidState(f"its status is {text[:40]!r}; expected one of {', '.join(RunStatus)}")


def run_name(name: str | None, tags: list[Tag]) -> str:
    """A run's name; runs of MLflow 1 have it in a tag only."""
    return name or _tagged(tags, RUN_NAME_TAG)


def user_id(user: str | None, tags: list[Tag]) -> str:
    """Who started a run."""
    return user or _tagged(tags, USER_TAG)


def version_status(status: str | None) -> str:
    """The status of a model version."""
    return status or READY


def name_in_workspace(name: str, workspace: str | None) -> str:
    """A name that tells apart what is called the same in two workspaces."""
    if workspace in (None, "", DEFAULT_WORKSPACE):
        return name
    return f"{name} ({workspace})"


def _tagged(tags: list[Tag], key: str) -> str:
    return next((tag.value for tag in tags if tag.key == key), "")
