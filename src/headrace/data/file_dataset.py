"""Data sets in files: one file, or a folder with all that is in it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace.data.dataset import Dataset
from headrace.data.dataset_source import DatasetSource, LocalSource
from headrace.data.digests import shortened
from headrace.data.profile import PROFILE_VERSION, Profile
from headrace.errors import InvalidRequest


class FileProfile(Profile):
    """The profile of files, which are not looked into: how many, and their bytes."""

    num_files: int = 0
    num_bytes: int = 0


class FileDataset(Dataset):
    """A file or folder: `path`."""

    def __init__(
        self,
        path: Path,
        source: DatasetSource,
        name: str | None = None,
        digest: str | None = None,
    ) -> None:
        self._path = path
        self._sizes = {inside: file.stat().st_size for inside, file in _files(path)}
        super().__init__(source, name, digest)

    @property
    def path(self) -> Path:
        """The file or folder, absolute."""
        return self._path

    def _compute_digest(self) -> str:
        if self._path.is_file():
            return shortened(_hashed(self._path))
        listing = hashlib.sha256()
        for inside, file in _files(self._path):
            listing.update(_listed(_hashed(file).hexdigest(), inside))
        return shortened(listing)

    def _compute_profile(self) -> Profile:
        return FileProfile(
            profile_version=PROFILE_VERSION,
            num_files=len(self._sizes),
            num_bytes=sum(self._sizes.values()),
        )


def from_path(
    path: str | os.PathLike[str], name: str | None = None, digest: str | None = None
) -> FileDataset:
    """A data set of a file, or of all files in a folder and its folders.

    The digest of a file is the beginning of its SHA-256; that of a folder, of the SHA-256 of the
    listing that `sha256sum` prints for its files, sorted by the bytes of their paths in it.
    Links are followed. Without `name` it is the file's or folder's. Raises InvalidRequest for what
    is not there or cannot be read, for sockets and devices, and for a link that leads in a circle.
    """
    try:
        found = Path(os.path.abspath(path))
        name = found.name if name is None and found.name else name
        return FileDataset(found, LocalSource({"uri": str(found)}), name, digest)
    except (OSError, TypeError, ValueError) as error:
        raise InvalidRequest(f"'path' cannot be read: {error}. Is the path right?") from error


def _files(path: Path) -> list[tuple[bytes, Path]]:
    """Each file with its path inside the folder, in order; a file itself is its only one."""
    return sorted(_walk(path, b"", ()))


def _walk(path: Path, inside: bytes, above: tuple[str, ...]) -> Iterator[tuple[bytes, Path]]:
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        yield inside or os.fsencode(path.name), path
    elif stat.S_ISDIR(mode):
        real = os.path.realpath(path)
        if real in above:
            raise InvalidRequest(f"'path' holds a link that leads in a circle: {path}")
        for entry in path.iterdir():
            name = os.fsencode(entry.name)
            yield from _walk(entry, inside + b"/" + name if inside else name, (*above, real))
    else:
        raise InvalidRequest(f"'path' holds what is neither file nor folder: {path}")


def _hashed(file: Path) -> Any:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _listed(digest: str, path: bytes) -> bytes:
    """A line of sha256sum's: names with line breaks or backslashes are written with escapes."""
    plain = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if plain != path else b""
    return mark + digest.encode() + b"  " + plain + b"\n"
