"""Where evaluations are logged: a fresh database for each test."""

from __future__ import annotations

from tests.client.conftest import database, own_folder

__all__ = ["database", "own_folder"]
