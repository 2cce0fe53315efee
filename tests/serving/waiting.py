"""Waiting for what nobody tells of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LIMIT: Final = 60.0


def wait_until(holds: Callable[[], bool], otherwise: str = "it never held") -> None:
    """Return when something holds; fail after a minute, with what is said `otherwise`."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
