"""Addresses of stores: which kind they are, how they are shown, whether two are the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from headrace.artifacts.open import local_path
from headrace.errors import NotFound
from headrace.protocol.uris import scheme_of

_DATABASE: Final = "headrace.db"
"""What the SDK calls its file in a folder that it is told to track in."""


def is_server(uri: str) -> bool:
    """Whether an address is that of a tracking server."""
    return scheme_of(uri) in ("http", "https")


def is_database(uri: str) -> bool:
    """Whether an address is that of a database, with or without the name of a driver."""
    return scheme_of(uri).partition("+")[0] in ("sqlite", "postgresql", "postgres")


def is_plain(uri: str) -> bool:
    """Whether an address is a path on this machine."""
    return scheme_of(uri) in ("", "file")


def in_full(uri: str) -> str:
    """A folder in which the SDK has tracked stands for its database; others are as given."""
    if is_plain(uri):
        file = local_path(uri) / _DATABASE
        if file.is_file():
            return f"sqlite:///{file}"
    return uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///FILE` address, None for any other."""
    head, found, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if found and head.startswith("sqlite") and name else None


def require_database(uri: str) -> None:
    """Raise NotFound where `uri` names a SQLite file that is not there."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise NotFound(f"There is no database at {file}.")


def shown(uri: str) -> str:
    """An address without its password, for messages."""
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()


def same_place(one: str, other: str) -> bool:
    """Whether two addresses certainly name the same store."""
    return _place(in_full(one)) == _place(in_full(other))


def _place(uri: str) -> tuple[str, ...]:
    file = sqlite_file(uri)
    if file is not None:
        return ("sqlite", os.path.realpath(file))
    if not (is_server(uri) or is_database(uri)):
        return ("file", os.path.realpath(uri))
    parts = urlsplit(uri)
    return (parts.netloc.rpartition("@")[2].lower(), parts.path.rstrip("/"))
