"""The contract of every place that artifacts are kept in: five verbs, and multipart uploads.

Paths are relative, with `/` between folders, and have passed `paths.safe_path`; an implementation
may rely on that and must still never leave its root. Methods are synchronous and may be called
from any thread at any time; one reader or writer belongs to one thread at a time.

Errors: NotFound for what is not there, InvalidRequest for what can never work (a folder where a
file is wanted, a part that does not match), Unavailable for what may work later (disk full,
storage away). After an error nothing half-written can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from msgspec import Struct

from headrace.protocol.artifacts import FileInfo

Bytes = bytes | bytearray | memoryview


class StoredFile(Struct, frozen=True):
    """What was written: its length in bytes, its SHA-256 in hex, its ETag with quotes."""

    size: int
    sha256: str
    etag: str


class Part(Struct, frozen=True):
    """One part of an upload: its number from 1, its ETag, its length where it is known."""

    number: int
    etag: str
    size: int | None = None


class Grant(Struct, frozen=True):
    """What a signed URL allows: one method on one path, or on one part of one upload."""

    method: Literal["GET", "PUT"]
    path: str
    upload_id: str = ""
    part_number: int = 0


class SignedUrl(Struct, frozen=True):
    """A URL that needs no other credentials, and the headers to send with it.

    A URL that begins with `/` is the tracking server's own: whoever hands it out puts the
    server's address in front.
    """

    url: str
    headers: dict[str, str]


class ArtifactReader(Protocol):
    """One version of one file, open. A file replaced meanwhile goes on reading as it was."""

    size: int
    """Length in bytes."""
    etag: str
    """A strong entity tag, with quotes: equal for equal bytes of this file, new for new ones."""
    modified: float
    """When it was written, in seconds since 1970."""
    sha256: str | None
    """The digest that was computed when it was written, in hex, where it is known."""

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` on, `length` of them or all, in pieces of at most 1 MiB."""
        ...

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ArtifactWriter(Protocol):
    """A file on its way in. Nobody sees it before `commit` returns; then everybody sees all.

    Every writer ends with a commit that returned or an abort. As a context manager it aborts
    what was not committed.
    """

    def write(self, data: Bytes) -> None:
        """Append `data`. It is not kept after the call."""
        ...

    def commit(self, sha256: str | None = None) -> StoredFile:
        """Make the file visible, in place of an older one; when this returns it is on disk.

        Raises InvalidRequest, and keeps the older file, when `sha256` (hex) is given and is not
        the digest of what was written.
        """
        ...

    def abort(self) -> None:
        """Throw away what was written. After a commit, or a second time, it does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


class ReadableArtifacts(Protocol):
    """The reading half of an `ArtifactStore`."""

    def read(self, path: str) -> ArtifactReader:
        """Open a file. NotFound when there is none, InvalidRequest when it is a folder."""
        ...

    def list(self, path: str) -> Sequence[FileInfo]:
        """What lies directly in a folder, by name; `""` is the root. Empty when it is missing."""
        ...


class ArtifactStore(Protocol):
    """A place for artifacts: a folder on local disk, a bucket."""

    def read(self, path: str) -> ArtifactReader:
        """Open a file. NotFound when there is none, InvalidRequest when it is a folder."""
        ...

    def write(self, path: str) -> ArtifactWriter:
        """Begin to write a file, making the folders above it.

        InvalidRequest at once when `path` is a folder, or a folder above it is a file.
        """
        ...

    def list(self, path: str) -> Sequence[FileInfo]:
        """What lies directly in a folder, by name; `""` is the root.

        `FileInfo.path` is the bare name. Empty when `path` is a file or missing.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all in it, at once. NotFound when it is missing."""
        ...

    def sign(self, grant: Grant, lifetime: float) -> SignedUrl:
        """A URL that allows `grant` for `lifetime` seconds."""
        ...

    def create_upload(self, path: str, num_parts: int) -> str:
        """Begin an upload of `path` in `num_parts` parts, which arrive in any order; its id."""
        ...

    def list_parts(self, path: str, upload_id: str) -> Sequence[Part]:
        """The parts that have arrived, by number. NotFound when there is no such upload."""
        ...

    def complete_upload(self, path: str, upload_id: str, parts: Sequence[Part]) -> StoredFile:
        """Join the parts into the file, atomically; `parts` names all of them in order.

        InvalidRequest when a part is missing, out of order, or has another ETag; the upload
        stays, so that the part can be sent again. Completing twice answers the same.
        """
        ...

    def abort_upload(self, path: str, upload_id: str) -> None:
        """Drop an upload and its parts. Does nothing when it is gone already."""
        ...


@runtime_checkable
class TakesParts(Protocol):
    """A store whose signed URLs lead to the tracking server, which hands the bytes to it."""

    def verify(self, grant: Grant, expires: int, signature: str) -> None:
        """Raise PermissionDenied unless `signature` allows `grant` until `expires` (epoch s)."""
        ...

    def write_part(self, path: str, upload_id: str, part_number: int) -> ArtifactWriter:
        """Begin to write a part; committing it again replaces it. NotFound without the upload."""
        ...
