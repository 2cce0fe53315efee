"""Warnings that are said once: each request may give rise to the same ones."""

from __future__ import annotations

import logging
from typing import Final

_MOST: Final = 1000


class SaidOnce(logging.Filter):
    """Lets a warning pass that was not said before; after a thousand unlike ones, none.

    Errors always pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is to be said."""
        if record.levelno >= logging.ERROR:
            return True
        text = record.getMessage()
        if text in self._said or len(self._said) >= _MOST:
            return False
        self._said.add(text)
        return True
