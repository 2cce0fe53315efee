"""Waiting for what nobody tells of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LIMIT: Final = 60.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when something holds."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.02)
