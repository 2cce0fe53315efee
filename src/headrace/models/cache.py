"""Where what can be fetched or made again is kept."""

from __future__ import annotations

import os
from pathlib import Path

from headrace import settings


def cache_root() -> Path:
    """The setting CACHE, else the folder of the user's programs' caches."""
    configured = settings.CACHE.get()
    if configured:
        return Path(os.path.abspath(os.path.expanduser(configured)))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "headrace"
