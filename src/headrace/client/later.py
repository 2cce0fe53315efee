"""Names of MLflow's that are to come: asking for one says so."""

from __future__ import annotations

from typing import Any, Final

TO_COME: Final = frozenset({"deployments", "projects", "run"})


def message(name: str) -> str:
    """What to say to somebody who asks for a name that is to come."""
    return f"Headrace has no {name!r} yet: deploying models, and projects, are to come."


def missing(name: str) -> Any:
    """The `__getattr__` of a door: raises the AttributeError for what is not behind it."""
    raise AttributeError(message(name) if name in TO_COME else f"there is no {name!r} here")
