"""Files that a Python model brings along: below `artifacts/`, by names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavor import Target
from headrace.models.trust import VerifiedFolder
from headrace.protocol.uris import scheme_of

FOLDER: Final = "artifacts"
_COPIED_UP_TO: Final = 256 << 20
"""Bytes of an artifact that is copied when it is loaded. It may be a pickle, which the model's code
would open some time after the check; weights are larger, and are read where they lie."""


@dataclass(frozen=True)
class Artifact:
    """A file or folder, and the URI that it was fetched from."""

    uri: str
    path: Path

    @property
    def name(self) -> str:
        """What it is called: the last part of a URI, or of the path."""
        is_path = scheme_of(self.uri) in ("", "file")
        last = "" if is_path else self.uri.rstrip("/").rpartition("/")[2]
        return last or self.path.expanduser().resolve().name


def artifacts_of(given: Any) -> dict[str, Artifact]:
    """What `artifacts` of save_model names: paths, or what was fetched already, by name.

    Raises InvalidRequest for what is no such table, and for URIs that are no paths.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InvalidRequest(
            f"'artifacts' is {type(given).__name__}; expected a dictionary from names to paths or "
            "URIs."
        )
    return {name: _artifact(name, value) for name, value in given.items()}


def _artifact(name: str, value: Any) -> Artifact:
    if isinstance(value, Artifact):
        return value
    if not isinstance(value, str | Path):
        raise InvalidRequest(
            f"The artifact '{name}' is {type(value).__name__}; expected a path or a URI."
        )
    if scheme_of(str(value)) not in ("", "file"):
        raise InvalidRequest(
            f"The artifact '{name}' is at '{value}', which is no local path; "
            "headrace.pyfunc.save_model and log_model fetch it."
        )
    from headrace.artifacts.open import local_path  # needs packages that loading does without

    return Artifact(str(value), local_path(str(value)))


def take_artifacts(target: Target, artifacts: Mapping[str, Artifact]) -> dict[str, dict[str, str]]:
    """Put artifacts into the model; what MLflow's key `artifacts` says of them.

    Each lies under its own last name, or below a number where that is taken; what has two names
    lies there once.
    """
    entries: dict[str, dict[str, str]] = {}
    places: dict[Path, str] = {}
    taken: set[str] = set()
    for name, artifact in artifacts.items():
        source = artifact.path.expanduser().resolve()
        if source not in places:
            place = _free(artifact.name, taken)
            target.take(source, place)
            places[source] = place
        entries[name] = {"path": places[source], "uri": artifact.uri}
    return entries


def _free(name: str, taken: set[str]) -> str:
    """A place for a file of this name, that no other has on a disk that ignores case."""
    place, number = f"{FOLDER}/{name}", 0
    while place.casefold() in taken:
        place, number = f"{FOLDER}/{number}/{name}", number + 1
    taken.add(place.casefold())
    return place


def open_artifacts(folder: VerifiedFolder, entries: Any) -> dict[str, str]:
    """The paths of a loaded model's artifacts, by name. `entries` is what `MLmodel` says.

    Raises InvalidModel for what leads out of the folder, is missing or was changed.
    """
    if entries is None:
        return {}
    if not isinstance(entries, Mapping):
        raise InvalidModel(f"The model's 'artifacts' are {entries!r}; expected a table.")
    return {str(name): str(_open(folder, name, entry)) for name, entry in entries.items()}


def _open(folder: VerifiedFolder, name: Any, entry: Any) -> Path:
    place = entry.get("path") if isinstance(entry, Mapping) else None
    if not isinstance(place, str):
        raise InvalidModel(f"The model's artifact {name!r} has no text 'path'.")
    path = folder.file(place)
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    if sum(each.stat().st_size for each in files) > _COPIED_UP_TO:
        return path
    return folder.code_path(place, "a file that the model's code opens")
