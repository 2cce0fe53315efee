"""Artifacts in a folder on local disk.

A file is written under `.headrace/tmp`, hashed on the way, synced, renamed into place, and the
folder synced: an acknowledged file survives a power cut, and a reader sees the old bytes or the
new ones. The digest is kept beside the file as an extended attribute where the file system has
them, bound to its size and time of change, so that a later edit by hand does not leave a wrong
one. Memory does not depend on the length of a file.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from headrace.artifacts.base import (
    ArtifactReader,
    ArtifactWriter,
    Bytes,
    Grant,
    Part,
    SignedUrl,
    StoredFile,
)
from headrace.artifacts.paths import RESERVED, safe_path
from headrace.artifacts.signing import UrlSigner, load_or_create_key
from headrace.artifacts.tree import Tree, translated
from headrace.artifacts.uploads import LocalUploads
from headrace.errors import InvalidRequest, Unavailable
from headrace.protocol.artifacts import FileInfo
from headrace.protocol.uris import scheme_of

CHUNK: Final = 1 << 20
_FLUSH_EVERY: Final = 8 << 20
_DIGEST_ATTRIBUTE: Final = "user.headrace.sha256"
_SWEEP_EVERY: Final = 3600.0


class LocalArtifactStore:
    """Artifacts below the folder `root`, which is made when it is missing.

    Several processes may use one root at once. Uploads and temporary files that nobody touched
    for `abandoned_after` seconds are removed: at the start, and at most once an hour when
    something new is written.
    """

    def __init__(self, root: str | Path, *, abandoned_after: float = 86_400.0) -> None:
        self._tree = Tree(Path(root))
        self._uploads = LocalUploads(self._tree)
        with translated(RESERVED, "read the signing key"):
            self._signer = UrlSigner(load_or_create_key(self._tree.own / "signing.key"))
        self._abandoned_after = abandoned_after
        self._sweep_lock = threading.Lock()
        self._swept_at = 0.0
        self.sweep()

    @property
    def root(self) -> Path:
        """The folder that holds the artifacts, absolute."""
        return self._tree.root

    def read(self, path: str) -> ArtifactReader:
        """See ArtifactStore."""
        safe_path(path)
        with translated(path, "read"):
            return LocalReader(path, self._tree.open_file(path))

    def write(self, path: str) -> ArtifactWriter:
        """See ArtifactStore."""
        safe_path(path)
        self._sweep_now_and_then()
        with translated(path, "write"):
            self._tree.check_writable(path)
            return LocalWriter(self._tree, path, lambda _, temp: self._tree.place(temp, path))

    def list(self, path: str) -> Sequence[FileInfo]:
        """See ArtifactStore. Symbolic links, and names that no path can hold, are left out."""
        safe_path(path, allow_root=True)
        with translated(path, "list"):
            try:
                with self._tree.folder(path) as folder, os.scandir(folder) as entries:
                    found = [info for entry in entries if (info := _file_info(entry))]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(found, key=lambda info: info.path)

    def delete(self, path: str) -> None:
        """See ArtifactStore."""
        safe_path(path)
        with translated(path, "delete"):
            self._tree.remove(path)

    def sign(self, grant: Grant, lifetime: float) -> SignedUrl:
        """See ArtifactStore. The URL is the tracking server's own."""
        return SignedUrl(self._signer.url(grant, lifetime), {})

    def verify(self, grant: Grant, expires: int, signature: str) -> None:
        """See TakesParts."""
        self._signer.verify(grant, expires, signature)

    def create_upload(self, path: str, num_parts: int) -> str:
        """See ArtifactStore."""
        safe_path(path)
        self._sweep_now_and_then()
        with translated(path, "write"):
            self._tree.check_writable(path)
            return self._uploads.create(path, num_parts)

    def write_part(self, path: str, upload_id: str, part_number: int) -> ArtifactWriter:
        """See TakesParts. The part's ETag is its SHA-256."""
        with translated(path, "write a part of"):
            place = self._uploads.part_place(path, upload_id, part_number)
            return LocalWriter(self._tree, path, place)

    def list_parts(self, path: str, upload_id: str) -> Sequence[Part]:
        """See ArtifactStore."""
        with translated(path, "list the parts of"):
            return self._uploads.parts(path, upload_id)

    def complete_upload(self, path: str, upload_id: str, parts: Sequence[Part]) -> StoredFile:
        """See ArtifactStore. Takes about as long as copying the file on this disk."""
        with translated(path, "complete the upload of"):
            return self._uploads.complete(path, upload_id, parts, self._join)

    def abort_upload(self, path: str, upload_id: str) -> None:
        """See ArtifactStore."""
        with translated(path, "abort the upload of"):
            self._uploads.abort(path, upload_id)

    def local_path(self, uri: str) -> str | None:
        """The store path of a local path or `file:` URI inside the root, else None."""
        scheme = scheme_of(uri)
        if scheme not in ("", "file"):
            return None
        local = os.path.normpath(unquote(urlsplit(uri).path) if scheme else uri)
        for root in (self.root, self.root.resolve()):
            relative = os.path.relpath(local, root)
            if relative == os.curdir:
                return ""
            if relative.split(os.sep)[0] != os.pardir:
                return safe_path(relative, "artifact URI")
        return None

    def sweep(self) -> int:
        """Remove abandoned uploads and temporary files; how many."""
        self._swept_at = time.monotonic()
        with translated("", "clean"):
            return self._uploads.sweep(self._abandoned_after) + self._tree.sweep_temp(
                self._abandoned_after
            )

    def _sweep_now_and_then(self) -> None:
        with self._sweep_lock:
            if time.monotonic() - self._swept_at < _SWEEP_EVERY:
                return
            self._swept_at = time.monotonic()
        self.sweep()

    def _join(self, path: str, copy: Callable[[int], str]) -> StoredFile:
        """Write `path` by letting `copy` fill an empty file; `copy` gives back the digest."""
        self._tree.check_writable(path)
        with LocalWriter(self._tree, path, lambda _, temp: self._tree.place(temp, path)) as writer:
            return writer.commit_filled(copy(writer.fileno()))


class LocalReader(ArtifactReader):
    """An open file of a LocalArtifactStore; see ArtifactReader."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd
        status = os.fstat(fd)
        self.size = status.st_size
        self.etag = etag_of(status)
        self.modified = status.st_mtime
        self.sha256 = _kept_digest(fd, status)
        if self.size > CHUNK and hasattr(os, "posix_fadvise"):
            # A file that is not in memory comes three times faster with the longer read-ahead.
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See ArtifactReader. Raises Unavailable when the file was cut short meanwhile."""
        stop = self.size if length is None else min(self.size, start + length)
        with translated(self._path, "read"):
            while start < stop:
                data = os.pread(self._fd, min(CHUNK, stop - start), start)
                if not data:
                    raise Unavailable(f"'{self._path}' was cut short while it was read.")
                start += len(data)
                yield data

    def close(self) -> None:
        """See ArtifactReader."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class LocalWriter(ArtifactWriter):
    """A temporary file that `place` moves to where it belongs; see ArtifactWriter.

    `place` is given the SHA-256 of the content and the temporary file's path.
    """

    def __init__(self, tree: Tree, path: str, place: Callable[[str, Path], None]) -> None:
        self._path = path
        self._place = place
        self._temp = tree.new_temp()
        self._digest = hashlib.sha256()
        self._written = self._flushed = 0
        self._fd = os.open(self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def fileno(self) -> int:
        """The descriptor of the temporary file, for one who fills it without `write`."""
        return self._fd

    def write(self, data: Bytes) -> None:
        """See ArtifactWriter."""
        with translated(self._path, "write"):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            self._written += len(data)
            self._flush_early()
        self._digest.update(data)

    def _flush_early(self) -> None:
        """Let the disk begin with what has come, so that the sync at the end is short."""
        behind = self._written - self._flushed
        if behind >= _FLUSH_EVERY and hasattr(os, "posix_fadvise"):
            # Linux starts to write out pages that it is told are not needed; it does not wait.
            os.posix_fadvise(self._fd, self._flushed, behind, os.POSIX_FADV_DONTNEED)
            self._flushed = self._written

    def commit(self, sha256: str | None = None) -> StoredFile:
        """See ArtifactWriter."""
        found = self._digest.hexdigest()
        if sha256 is not None and sha256.lower() != found:
            raise InvalidRequest(
                f"The content of '{self._path}' has the SHA-256 {found}, but {sha256} was "
                "announced; nothing was stored. Send the file again."
            )
        return self.commit_filled(found)

    def commit_filled(self, digest: str) -> StoredFile:
        """Like `commit`, for content whose SHA-256 the caller has computed."""
        with translated(self._path, "write"):
            _keep_digest(self._fd, digest)
            os.fsync(self._fd)
            status = os.fstat(self._fd)
            self._place(digest, self._temp)
        os.close(self._fd)
        self._fd = -1
        return StoredFile(status.st_size, digest, etag_of(status))

    def abort(self) -> None:
        """See ArtifactWriter."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(self._temp)


def etag_of(status: os.stat_result) -> str:
    """A strong ETag: a file is only ever replaced by a new one, with its own inode and time."""
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'


def _keep_digest(fd: int, digest: str) -> None:
    status = os.fstat(fd)
    note = f"{status.st_mtime_ns}:{status.st_size}:{digest}"
    # Not every system or file system has extended attributes; the digest is a convenience.
    with suppress(OSError, AttributeError):
        os.setxattr(fd, _DIGEST_ATTRIBUTE, note.encode())


def _kept_digest(fd: int, status: os.stat_result) -> str | None:
    try:
        note = os.getxattr(fd, _DIGEST_ATTRIBUTE).decode("ascii", "replace")
    except (OSError, AttributeError):
        return None
    modified, _, rest = note.partition(":")
    size, _, digest = rest.partition(":")
    if (modified, size) != (str(status.st_mtime_ns), str(status.st_size)):
        return None
    return digest


def _file_info(entry: os.DirEntry[str]) -> FileInfo | None:
    try:
        safe_path(entry.name)
        if entry.is_dir(follow_symlinks=False):
            return FileInfo(entry.name, True)
        if entry.is_file(follow_symlinks=False):
            return FileInfo(entry.name, False, entry.stat(follow_symlinks=False).st_size)
    except (InvalidRequest, FileNotFoundError):
        pass
    return None
