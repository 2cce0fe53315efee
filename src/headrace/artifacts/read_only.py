"""A folder of files that is only read: nothing in it, or beside it, is made or changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headrace.artifacts.base import ArtifactReader
from headrace.artifacts.local import LocalReader, file_info
from headrace.artifacts.paths import safe_path
from headrace.artifacts.tree import Tree, translated
from headrace.protocol.artifacts import FileInfo


class ReadOnlyFolder:
    """The reading half of an ArtifactStore on local disk, for folders that are not ours.

    A folder that is not there is an empty one. Symbolic links inside are not followed.
    """

    def __init__(self, root: str | Path) -> None:
        self._tree = Tree(Path(root), only_read=True)

    def read(self, path: str) -> ArtifactReader:
        """See ArtifactStore."""
        safe_path(path)
        with translated(path, "read"):
            return LocalReader(path, self._tree.open_file(path))

    def local_file(self, path: str) -> Path:
        """Where a file lies. Raises what `read` does where there is none."""
        self.read(path).close()
        return self._tree.root / path

    def list(self, path: str) -> Sequence[FileInfo]:
        """See ArtifactStore."""
        safe_path(path, allow_root=True)
        with translated(path, "list"):
            try:
                with self._tree.folder(path) as folder, os.scandir(folder) as entries:
                    found = [info for entry in entries if (info := file_info(entry))]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(found, key=lambda info: info.path)
