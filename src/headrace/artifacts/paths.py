"""Untrusted artifact paths, from the wire to a path that cannot leave the artifact root.

A path is checked in every form that a later decoder could give it: as it is, and percent-decoded
again and again until it stays the same. It is *stored* as it is, so that two different names
never become one file.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import unquote

from headrace.errors import InvalidRequest
from headrace.protocol.uris import parse_proxy_uri, scheme_of

RESERVED: Final = ".headrace"
"""The folder in an artifact root that Headrace keeps for itself."""

MAX_PATH_BYTES: Final = 4096
MAX_SEGMENT_BYTES: Final = 255
_MAX_DECODINGS: Final = 8

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:($|/)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def safe_path(path: str, field: str = "path", *, allow_root: bool = False) -> str:
    """`path` unchanged, once it is sure to be a clean path below the artifact root.

    Refused, in plain form or percent-encoded any number of times: `.` and `..` segments,
    absolute paths and drive letters, backslashes, `#`, control characters, empty segments, names
    over 255 bytes, paths over 4,096 bytes, and the reserved `.headrace`. The empty path stands
    for the root and passes only with `allow_root`. Raises InvalidRequest naming `field`.
    """
    if not path:
        if allow_root:
            return path
        raise InvalidRequest(f"Invalid path: '{field}' is empty; expected the path of a file.")
    form = path
    for _ in range(_MAX_DECODINGS):
        problem = _problem(form)
        if problem:
            raise InvalidRequest(f"Invalid path {_shown(path)} in '{field}': {problem}")
        decoded = unquote(form)
        if decoded == form:
            return path
        form = decoded
    raise InvalidRequest(
        f"Invalid path {_shown(path)} in '{field}': it is percent-encoded more than "
        f"{_MAX_DECODINGS} times; send it encoded once."
    )


def join(root: str, path: str) -> str:
    """The path of `path` below the folder `root`; either may be empty."""
    return f"{root}/{path}" if root and path else root or path


def path_of_uri(uri: str) -> str | None:
    """The store path that an `mlflow-artifacts:` URI stands for, None for any other scheme.

    Raises InvalidRequest when the path in it is not safe.
    """
    if scheme_of(uri) != "mlflow-artifacts":
        return None
    return safe_path(parse_proxy_uri(uri).path, "artifact URI", allow_root=True)


def base_name(client_path: str, field: str = "path") -> str:
    """The file name in a path on the client's machine, POSIX or Windows."""
    name = posixpath.basename(client_path.replace("\\", "/"))
    return safe_path(name, field)


def _problem(path: str) -> str | None:
    """What is wrong with one form of a path, or None."""
    if _SURROGATE.search(path):
        return "it is not valid UTF-8."
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes."
    if _CONTROL.search(path):
        return "it holds a control character."
    if "\\" in path:
        return "it holds a backslash; separate folders with '/'."
    if "#" in path:
        return "it holds '#'."
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute; expected a path relative to the artifact root."
    return _segment_problem(path.split("/"))


def _segment_problem(segments: list[str]) -> str | None:
    for segment in segments:
        if not segment:
            return "it holds an empty segment ('//', or '/' at the end)."
        if segment in (".", ".."):
            return "it holds '.' or '..'; expected a clean path."
        if segment.casefold() == RESERVED:
            return f"the name '{RESERVED}' is reserved."
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"a name in it is longer than {MAX_SEGMENT_BYTES} bytes."
    return None


def _shown(path: str) -> str:
    return ascii(path if len(path) <= 80 else path[:77] + "...")
