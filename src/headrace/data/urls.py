"""URLs of data: which ones we take, how they are shown, what they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from headrace.errors import InvalidRequest

HIDDEN: Final = "HIDDEN"
_SECRET_PARAMETER = re.compile(
    r"sig|secret|token|passw|credential|auth|api[-_]?key|access[-_]?key|^key$", re.IGNORECASE
)


def checked_url(url: Any) -> str:
    """The URL, if it is one of http or https. Raises InvalidRequest."""
    if not isinstance(url, str):
        raise InvalidRequest(f"'url' is of type {type(url).__name__}: expected a text.")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise InvalidRequest(
            f"'url' is {without_secrets(url)!r}: expected 'http://…' or 'https://…'."
        )
    return url


def without_secrets(url: str) -> str:
    """The URL without user name and password, and with the values of signatures hidden."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidRequest(f"This is not a URL: {error}.") from None
    query = "&".join(_shown_parameter(pair) for pair in parts.query.split("&"))
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, query, parts.fragment))


def _shown_parameter(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and _SECRET_PARAMETER.search(unquote(name)) else pair


def name_of(url: str) -> str:
    """The last part of a URL's path: a file's name, without a path in it; '' if there is none."""
    name = Path(unquote(urlsplit(url).path)).name
    return "" if name in (".", "..") or "\x00" in name else name
