"""Reading the small files of an `mlruns` folder, none of which may lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from headrace.artifacts.tree import Tree, translated
from headrace.errors import HeadraceError, InvalidRequest, InvalidState, NotFound
from headrace.protocol.yaml_text import load_yaml

META: Final = "meta.yaml"

_MAX_BYTES: Final = 64 << 20
"""The largest file to read whole: a data set's profile may have 16 MB, all else is small."""

Meta = Mapping[str, Any]


class Point(NamedTuple):
    """One line of a metric's file."""

    timestamp: int
    value: float
    step: int
    run_id: str | None
    dataset_name: str | None
    dataset_digest: str | None


class MetadataFolder:
    """The files of one `mlruns` folder. Paths are relative to it; no symbolic link is followed.

    What cannot be read raises NotFound, or InvalidState with the path and the reason.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tree = Tree(root, only_read=True)

    def folders(self, path: str) -> list[str]:
        """The names of the folders directly in `path`, sorted; none where it is missing."""
        return [entry.name for entry in self._entries(path) if entry.is_dir(follow_symlinks=False)]

    def links(self, path: str) -> list[str]:
        """The names of the symbolic links directly in `path`."""
        return [entry.name for entry in self._entries(path) if entry.is_symlink()]

    def keys(self, path: str) -> Iterator[str]:
        """All files below `path`, as keys: `val/loss` is the file `loss` in the folder `val`."""
        for entry in self._entries(path):
            if entry.is_dir(follow_symlinks=False):
                for below in self.keys(f"{path}/{entry.name}"):
                    yield f"{entry.name}/{below}"
            elif entry.is_file(follow_symlinks=False):
                yield entry.name

    def has(self, path: str) -> bool:
        """Whether there is a file `path`."""
        try:
            os.close(self._open(path))
        except HeadraceError:
            return False
        return True

    def text(self, path: str) -> str:
        """A file, whole."""
        with os.fdopen(self._open(path), "rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InvalidState(f"{path} is longer than {_MAX_BYTES} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InvalidState(f"{path} is not UTF-8 text") from error

    def meta(self, folder: str) -> Meta:
        """The `meta.yaml` of a folder; nothing in it is run."""
        path = f"{folder}/{META}"
        text = self.text(path)
        try:
            document = load_yaml(text)
        except ValueError as error:
            raise InvalidState(f"{path} is not readable YAML ({error})") from error
        if not isinstance(document, dict):
            raise InvalidState(f"{path} is empty or cut short")
        return document

    def points(self, path: str, *, of_model: bool = False) -> Iterator[Point | str]:
        """The lines of a metric's file; for one that cannot be read, what is wrong with it.

        They read `timestamp value step`, then the run's id in the file of a logged model, then
        a data set's name and digest where there is one.
        """
        with os.fdopen(self._open(path), "r", encoding="utf-8", errors="replace") as opened:
            for number, line in enumerate(opened, 1):
                if not line.strip():
                    continue
                try:
                    yield _point(line.strip(), of_model)
                except ValueError:
                    yield f"line {number} of {path} is not a point of a metric"

    def _open(self, path: str) -> int:
        _require_inside(path)
        try:
            with translated(path, "read"):
                return self._tree.open_file(path)
        except NotFound as error:
            raise NotFound(f"{path} is missing") from error
        except InvalidRequest as error:
            raise InvalidState(f"{path} is no plain file below this folder") from error

    def _entries(self, path: str) -> list[os.DirEntry[str]]:
        _require_inside(path)
        try:
            with (
                translated(path, "list"),
                self._tree.folder(path) as folder,
                os.scandir(folder) as entries,
            ):
                # What an entry is may take another look at the disk: while the folder is open.
                return sorted(filter(_is_known, entries), key=lambda entry: entry.name)
        except NotFound:
            return []
        except InvalidRequest as error:
            raise InvalidState(f"{path} is no folder below this one") from error


def _is_known(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_dir(follow_symlinks=False) or entry.is_file()


def _require_inside(path: str) -> None:
    if "\x00" in path or (any(name in ("", ".", "..") for name in path.split("/")) and path):
        raise InvalidState(f"{path!r} is no path below this folder")


def _point(line: str, of_model: bool) -> Point:
    words = line.split(" ", 4 if of_model else 3)
    if len(words) < (4 if of_model else 2):
        raise ValueError(line)
    # MLflow before 1.0 wrote no step.
    step = int(words[2]) if len(words) > 2 else 0
    run_id = words[3] if of_model else None
    name, _, digest = (
        words[-1].rpartition(" ") if len(words) > (4 if of_model else 3) else ("",) * 3
    )
    return Point(int(words[0]), float(words[1]), step, run_id, name or None, digest or None)


def text_of(meta: Meta, *names: str) -> str | None:
    """The first of these fields that is there, as text. InvalidState for a list or mapping."""
    for name in names:
        value = meta.get(name)
        if isinstance(value, (dict, list)):
            raise InvalidState(f"its field '{name}' is not a text")
        if value is not None:
            return str(value)
    return None


def number_of(meta: Meta, *names: str) -> int | None:
    """The first of these fields that is there, as a whole number. InvalidState."""
    text = text_of(meta, *names)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise InvalidState(f"its field '{names[0]}' is {text[:40]!r}, not a number") from None


def required(meta: Meta, *names: str) -> str:
    """As `text_of`. InvalidState where none is there."""
    text = text_of(meta, *names)
    if text is None:
        raise InvalidState(f"it has no '{names[0]}'")
    return text
