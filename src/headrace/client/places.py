"""Where journals lie: a folder for each destination, and memory where the disk has no room.

The folder's name shows the destination to people and tells it apart by a digest of its URI. No
credentials are part of either. Every file is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from headrace import settings

_MEMORY: Final = Path("/dev/shm")  # noqa: S108  (memory on Linux; the folder below is the user's own)

_CREDENTIALS: Final = frozenset({"user", "password", "passfile", "sslpassword", "token"})


def journal_root() -> Path:
    """The folder of all journals: the setting, else that of the user's programs' state."""
    configured = settings.JOURNAL.get()
    if configured:
        return Path(os.path.abspath(os.path.expanduser(configured)))
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "headrace" / "journal"


def journal_places(uri: str) -> list[Path]:
    """The folders for what goes to `uri`, best first: on disk, then in memory."""
    return with_memory(journal_root() / folder_name(uri))


def with_memory(home: Path) -> list[Path]:
    """A folder of journals, and the one that stands in for it while its disk has no room."""
    own = _MEMORY / f"headrace-{os.getuid()}"
    if not _is_ours(own):
        return [home]
    return [home, own / _digest(str(home)) / home.name]


def _is_ours(folder: Path) -> bool:
    """Whether a folder, made if it is not there, is ours alone: everybody may write beside it."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def folder_name(uri: str) -> str:
    """A name for the journals of one destination."""
    shown = without_credentials(uri)
    words = re.sub(r"[^A-Za-z0-9.]+", "-", shown.partition("://")[2]).strip("-.")
    # Which of two servers' databases is meant can stand in the query.
    query = parse_qsl(urlsplit(uri).query)
    told_apart = "&".join(f"{key}={value}" for key, value in query if key not in _CREDENTIALS)
    whole = f"{shown}?{told_apart}" if told_apart else shown
    return f"{words[-40:].strip('-.') or 'database'}-{_digest(whole)}"


def without_credentials(uri: str) -> str:
    """A tracking URI without its user part and its query: to be shown and written down."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    if not parts.netloc:
        return uri.partition("?")[0]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
