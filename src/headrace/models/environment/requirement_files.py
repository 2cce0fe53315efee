"""pip's requirements files: read as pip reads them, with the files that they refer to.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace.errors import InvalidRequest
from headrace.models.environment.installed import normalized_name

MAX_BYTES: Final = 4 << 20
"""Of one requirements file; those of the largest lock files are a tenth of it."""
MAX_DEPTH: Final = 10
"""Requirements files that refer to each other, one inside the other."""

_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_REFERENCE: Final = re.compile(
    r"(?:(?P<requirement>-r|--requirement)|-c|--constraint)(?:\s+|=|(?<=-[rc]))(?P<file>\S.*)"
)
_NAME: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:$|[\[<>=!~;@(])"
)
_USER: Final = re.compile(r"://(?P<user>[^/\s@]+)@")
_VARIABLE: Final = re.compile(r"\$\{[A-Z0-9_]+\}")


@dataclass
class Listed:
    """What requirements files list, in order: requirements and options, and constraints; and the
    files that were read for it, with the SHA-256 of their bytes in hex.
    """

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)


def read_lines(lines: Iterable[str], folder: Path, *, within: Path | None = None) -> Listed:
    """The requirements and constraints in `lines`, and in the files that `-r` and `-c` name.

    Names of files are relative to the file that they stand in, first to `folder`; with `within`,
    a file outside that folder is refused. Comments are left out and continued lines joined.
    InvalidRequest for what cannot be read, and for a password in a URL.
    """
    listed = Listed()
    _read_into(listed, lines, _Place(folder, within))
    return listed


def read_file(path: Path, *, within: Path | None = None) -> Listed:
    """The same for a file. InvalidRequest where it is not there or is no text."""
    listed = Listed()
    _read_into(listed, _lines_of(path, listed), _Place(path.parent, within))
    return listed


def name_of(requirement: str) -> str | None:
    """The normalized name of the package that a line asks for; None for an option, a path or a
    bare URL, and MLflow's for a checkout of it.
    """
    match = _NAME.match(requirement)
    if match:
        return normalized_name(match["name"])
    return "mlflow" if re.search(r"/mlflow(\.git)?(@|#|$)", requirement) else None


def hide_credentials(line: str) -> str:
    """A line as it may be shown: without what stands before the @ of a URL."""
    return _USER.sub("://****@", line)


@dataclass(frozen=True)
class _Place:
    folder: Path
    within: Path | None
    depth: int = 0
    constrains: bool = False


def _read_into(listed: Listed, lines: Iterable[str], place: _Place) -> None:
    for line in _logical(lines):
        reference = _REFERENCE.fullmatch(line)
        if reference is None:
            _refuse_credentials(line)
            (listed.constraints if place.constrains else listed.requirements).append(line)
            continue
        file = _referred(reference["file"].strip("\"'"), place)
        constrains = place.constrains or reference["requirement"] is None
        inner = _Place(file.parent, place.within, place.depth + 1, constrains)
        _read_into(listed, _lines_of(file, listed), inner)


def _logical(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined where a backslash ends them, without comments and blank ones."""
    held = ""
    for line in lines:
        line = line.strip("\r\n")
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            held += line[:-1]
            continue
        text = _COMMENT.sub("", held + line).strip()
        held = ""
        if text:
            yield text
    if held.strip():
        yield held.strip()


def _referred(name: str, place: _Place) -> Path:
    if "://" in name:
        raise InvalidRequest(
            "A requirements file refers to another by URL, which may change; save that file here "
            "and name it."
        )
    if place.depth >= MAX_DEPTH:
        raise InvalidRequest(
            f"Requirements files refer to each other more than {MAX_DEPTH} levels deep, at "
            f"'{name}'; name each file once."
        )
    path = Path(os.path.realpath(place.folder / name))
    if place.within is not None and not path.is_relative_to(os.path.realpath(place.within)):
        raise InvalidRequest(f"The requirements refer to '{name}', which is outside the model.")
    return path


def _lines_of(path: Path, listed: Listed) -> list[str]:
    if path.exists() and not path.is_file():
        raise InvalidRequest(f"The requirements file '{path}' is no regular file.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(
            f"The requirements file '{path}' cannot be read: {error.strerror}."
        ) from None
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The requirements file '{path}' has more than {MAX_BYTES} bytes.")
    listed.files[path] = hashlib.sha256(data).hexdigest()
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidRequest(f"The requirements file '{path}' is no text in UTF-8.") from None


def _refuse_credentials(line: str) -> None:
    user = _USER.search(line)
    if user is None or user["user"] in ("git", "hg"):
        return
    if _VARIABLE.sub("", user["user"]).strip(":"):
        raise InvalidRequest(
            f"The requirement '{hide_credentials(line)}' has a user name or password in its URL, "
            "which would be stored with the model. Use variables (https://${USER}:${TOKEN}@…), "
            "which pip fills in, or leave them to ~/.netrc or UV_INDEX_URL."
        )
