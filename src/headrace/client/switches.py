"""Which parts of what made a run are noted: each has a switch, and all are on until told."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from headrace import settings
from headrace.errors import InvalidRequest
from headrace.settings import Variable

_SWITCHES: Final[dict[str, Variable]] = {
    "git": settings.CAPTURE_GIT,
    "program": settings.CAPTURE_PROGRAM,
    "packages": settings.CAPTURE_PACKAGES,
    "console": settings.CAPTURE_CONSOLE,
    "system_metrics": settings.CAPTURE_SYSTEM_METRICS,
}


class Switches(NamedTuple):
    """What the runs that start now note about what made them."""

    git: bool
    program: bool
    packages: bool
    console: bool
    system_metrics: bool


def switches() -> Switches:
    """The switches as they are now. Raises InvalidRequest for a setting that is no yes or no."""
    default = settings.CAPTURE.get_bool(True)
    return Switches(**{name: each.get_bool(default) for name, each in _SWITCHES.items()})


def set_capture(
    *,
    git: bool | None = None,
    program: bool | None = None,
    packages: bool | None = None,
    console: bool | None = None,
    system_metrics: bool | None = None,
) -> None:
    """Choose what runs note about what made them; None leaves a switch as it is.

    It holds for runs that this process starts from now on, and for processes that it starts: the
    choice is put into the environment (HEADRACE_CAPTURE_GIT and so on). Raises InvalidRequest
    for what is neither true nor false.
    """
    chosen = {
        "git": git,
        "program": program,
        "packages": packages,
        "console": console,
        "system_metrics": system_metrics,
    }
    for name, value in chosen.items():
        if value is not None and not isinstance(value, bool):
            raise InvalidRequest(f"Invalid value {value!r} for '{name}': expected True or False.")
    for name, value in chosen.items():
        if value is not None:
            os.environ[_SWITCHES[name].names[0]] = "true" if value else "false"
