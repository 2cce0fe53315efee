"""A folder of files that is only read: nothing in it, or beside it, is made or changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.artifacts.base import ArtifactReader
from headrace.artifacts.local import LocalReader
from headrace.artifacts.paths import RESERVED, safe_path
from headrace.artifacts.tree import Tree, translated
from headrace.errors import InvalidRequest, InvalidState, Unavailable
from headrace.protocol.artifacts import FileInfo


class ReadOnlyFolder:
    """The reading half of an ArtifactStore on local disk, for folders that are not ours.

    A folder that is not there is an empty one. Unlike an ArtifactStore it shows what it cannot
    give, symbolic links and names that no path can hold, as files: reading these raises
    InvalidRequest, so that whoever copies the folder hears of them. What cannot be read for
    another reason (permissions, a file cut short meanwhile) is InvalidState.
    """

    def __init__(self, root: str | Path) -> None:
        self._tree = Tree(Path(root), only_read=True)

    def read(self, path: str) -> ArtifactReader:
        """See ArtifactStore."""
        safe_path(path)
        with _readable(path, "read"):
            return _Reader(path, self._tree.open_file(path))

    def local_file(self, path: str) -> Path:
        """Where a file lies. Raises what `read` does where there is none."""
        self.read(path).close()
        return self._tree.root / path

    def list(self, path: str) -> Sequence[FileInfo]:
        """See ArtifactStore, and above."""
        safe_path(path, allow_root=True)
        with _readable(path, "list"):
            try:
                with self._tree.folder(path) as folder, os.scandir(folder) as entries:
                    found = [_shown(entry) for entry in entries if entry.name != RESERVED]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(found, key=lambda info: info.path)


class _Reader(LocalReader):
    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See ArtifactReader."""
        with _readable(self._path, "read"):
            yield from super().chunks(start, length)


def _shown(entry: os.DirEntry[str]) -> FileInfo:
    # A name in another encoding than UTF-8 is shown with backslashes, which no path may hold.
    name = entry.name.encode("utf-8", "backslashreplace").decode()
    try:
        safe_path(name)
        if entry.is_dir(follow_symlinks=False):
            return FileInfo(name, True)
    except InvalidRequest:
        pass
    return FileInfo(name, False, entry.stat(follow_symlinks=False).st_size)


@contextmanager
def _readable(path: str, doing: str) -> Iterator[None]:
    try:
        with translated(path, doing):
            yield
    except Unavailable as error:
        raise InvalidState(error.message) from error
