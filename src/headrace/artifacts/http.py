"""Artifacts behind a tracking server: the client's side of the `mlflow-artifacts` proxy.

Bytes stream in pieces of 1 MiB. Where the server says that it can, files of 500 MB and more go
up in parts and come down in ranges, several at once. What arrives is checked against the SHA-256
that Headrace's servers send along; a broken download goes on where it stopped.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headrace.artifacts.base import (
    ArtifactReader,
    ArtifactWriter,
    Bytes,
    Grant,
    Part,
    SignedUrl,
    StoredFile,
)
from headrace.artifacts.paths import safe_path
from headrace.errors import HeadraceError, InvalidRequest, NotFound, Unavailable
from headrace.protocol import artifacts as wire
from headrace.protocol import codec, server_info
from headrace.protocol.artifacts import FileInfo
from headrace.transport import Transport

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

PIECE: Final = 1 << 20
SPOOL_IN_MEMORY: Final = 8 << 20
RESUMES: Final = 5
_PROXY: Final = "/api/2.0/mlflow-artifacts"


class HttpArtifactStore:
    """The artifacts of the tracking server that `transport` talks to; see ArtifactStore.

    Files move fastest with `headrace.artifacts.transfer`, which sends a file from where it lies;
    `write` must keep what it is given, in memory up to 8 MiB, then in a temporary file, until
    `commit` sends it.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._info: server_info.ServerInfo | None = None
        self._credentials: dict[str, dict[int, wire.PartCredential]] = {}

    def read(self, path: str) -> ArtifactReader:
        """See ArtifactStore."""
        return HttpReader(self.transport, path, file_target(path))

    def write(self, path: str) -> ArtifactWriter:
        """See ArtifactStore. Whether `path` can be written is known at `commit` only."""
        return HttpWriter(self, safe_path(path))

    def list(self, path: str) -> Sequence[FileInfo]:
        """See ArtifactStore."""
        safe_path(path, allow_root=True)
        request = wire.ListArtifacts(path=path or None)
        files = self.transport.call(wire.LIST, request, resend=True).files
        return sorted(files, key=lambda info: info.path)

    def small_files(self, path: str) -> dict[str, bytes]:
        """The small files below a folder, by path, as far as they come in one answer.

        Empty where the server is not Headrace's; then files are read one by one.
        """
        if not self.info().headrace_version:
            return {}
        request = wire.ReadSmallFiles(path=path or None)
        try:
            answer = self.transport.call(wire.READ_SMALL, request, resend=True)
        except NotFound:  # an older server
            return {}
        return {safe_path(file.path): file.content for file in answer.files}

    def delete(self, path: str) -> None:
        """See ArtifactStore."""
        with self.transport.open("DELETE", file_target(path)):
            pass

    def sign(self, grant: Grant, lifetime: float) -> SignedUrl:
        """See ArtifactStore. The server sets the lifetime; parts only of uploads made here."""
        if grant.method == "GET":
            target = f"{_PROXY}/presigned/{quote(safe_path(grant.path))}"
            with self.transport.open("GET", target, resend=True) as answer:
                signed = codec.decode(answer.data, wire.PresignedDownload)
            return SignedUrl(signed.url, signed.headers)
        part = self._credentials.get(grant.upload_id, {}).get(grant.part_number)
        if part is None:
            raise NotFound(f"No part {grant.part_number} of upload '{grant.upload_id}' here.")
        return SignedUrl(part.url, part.headers)

    def create_upload(self, path: str, num_parts: int) -> str:
        """See ArtifactStore."""
        body = wire.CreateMultipartUpload(path=_name(path), num_parts=num_parts)
        data = self._post("create", path, codec.encode(body), resend=True)
        upload = codec.decode(data, wire.MultipartUpload)
        self._credentials[upload.upload_id] = {p.part_number: p for p in upload.credentials}
        return upload.upload_id

    def list_parts(self, path: str, upload_id: str) -> Sequence[Part]:
        """See ArtifactStore. Only Headrace's own servers can say."""
        target = f"{_PROXY}/mpu/parts/{quote(safe_path(path))}?upload_id={quote(upload_id)}"
        with self.transport.open("GET", target, resend=True) as answer:
            done = codec.decode(answer.data, wire.UploadedParts)
        return [Part(part.part_number, part.etag) for part in done.parts]

    def complete_upload(self, path: str, upload_id: str, parts: Sequence[Part]) -> StoredFile:
        """See ArtifactStore."""
        done = [wire.PartDone(part_number=part.number, etag=part.etag) for part in parts]
        body = wire.CompleteMultipartUpload(path=_name(path), upload_id=upload_id, parts=done)
        self._post("complete", path, codec.encode(body), resend=True)
        self._credentials.pop(upload_id, None)
        with self.read(path) as reader:
            return StoredFile(reader.size, reader.sha256 or "", reader.etag)

    def abort_upload(self, path: str, upload_id: str) -> None:
        """See ArtifactStore."""
        self._credentials.pop(upload_id, None)
        body = wire.AbortMultipartUpload(path=_name(path), upload_id=upload_id)
        self._post("abort", path, codec.encode(body), resend=True)

    def put(self, path: str, pieces: Iterable[bytes], size: int, sha256: str) -> StoredFile:
        """Send a whole file; `pieces` must start anew each time it is iterated."""
        headers = _body_headers(size) | {"Content-Digest": digest_header(sha256)}
        target = file_target(path)
        with self.transport.open(
            "PUT", target, body=lambda: pieces, headers=headers, resend=True
        ) as answer:
            etag = answer.headers.get("ETag", "")
        return StoredFile(size, sha256, etag)

    def info(self) -> server_info.ServerInfo:
        """What the server can do; asked once. A server that does not say can do nothing extra."""
        if self._info is None:
            try:
                request = server_info.GetServerInfo()
                self._info = self.transport.call(server_info.GET, request, resend=True)
            except Unavailable:
                raise
            except HeadraceError:
                self._info = _SAYS_NOTHING
        return self._info

    def _post(self, verb: str, path: str, body: bytes, *, resend: bool) -> bytes:
        folder = safe_path(path).rpartition("/")[0]
        target = f"{_PROXY}/mpu/{verb}/{quote(folder)}"
        headers = {"Content-Type": "application/json"}
        with self.transport.open("POST", target, body=body, headers=headers, resend=resend) as got:
            return got.data


_SAYS_NOTHING: Final = server_info.ServerInfo("", False, False, False, False, False, False, "")


class HttpReader(ArtifactReader):
    """A file of a server, or a `window` (start, stop) of it, open for reading; see ArtifactReader.

    `target` is its path on the server, or a signed URL, which is asked with `headers`.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        window: tuple[int, int] | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._target = target
        self._extra = dict(headers or {})
        self._open = ExitStack()
        self._first = window[0] if window else 0
        self.etag = ""
        self._whole: BaseHTTPResponse | None = self._request(window)
        answered = self._whole.headers
        self.size = int(answered.get("Content-Length") or 0)
        self.etag = answered.get("ETag", "")
        self.modified = _epoch(answered.get("Last-Modified"))
        self.sha256 = digest_of(answered)

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See ArtifactReader. Goes on where it stopped, when the connection breaks."""
        stop = self.size if length is None else min(self.size, start + length)
        position = start
        failures = 0
        while position < stop:
            try:
                for piece in self._stream(position, stop):
                    position += len(piece)
                    yield piece
                if position < stop:
                    raise Unavailable(f"'{self._path}' ended before all its bytes had come.")
            except Unavailable:
                failures += 1
                if failures > RESUMES:
                    raise

    def close(self) -> None:
        """See ArtifactReader."""
        self._whole = None
        self._open.close()

    def _stream(self, start: int, stop: int) -> Iterator[bytes]:
        response = self._whole
        self._whole = None
        if response is None or (start, stop) != (0, self.size):
            self.close()
            response = self._request((self._first + start, self._first + stop))
        yield from _limited(response, stop - start)

    def _request(self, window: tuple[int, int] | None) -> BaseHTTPResponse:
        # Content-Length must be that of the file, so nothing may be compressed on the way.
        headers = {"Accept-Encoding": "identity", **self._extra}
        if window:
            headers["Range"] = f"bytes={window[0]}-{window[1] - 1}"
            if self.etag:
                headers["If-Range"] = self.etag
        response = self._open.enter_context(
            self._transport.open("GET", self._target, headers=headers, resend=True, stream=True)
        )
        if window and response.status != 206:
            self.close()
            raise InvalidRequest(
                f"'{self._path}' was replaced while it was read, or its server gives no ranges; "
                "read it again."
            )
        return response


class HttpWriter(ArtifactWriter):
    """A file on its way to a server; see ArtifactWriter."""

    def __init__(self, store: HttpArtifactStore, path: str) -> None:
        self._store = store
        self._path = path
        # Closed in abort, which every way out leads to.
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY)  # noqa: SIM115  (see above)
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: Bytes) -> None:
        """See ArtifactWriter."""
        try:
            self._spool.write(data)
        except OSError as error:
            raise Unavailable(f"Cannot keep '{self._path}' until it is sent: {error}.") from error
        self._digest.update(data)
        self._size += len(data)

    def commit(self, sha256: str | None = None) -> StoredFile:
        """See ArtifactWriter."""
        with closing(self._spool):
            found = self._digest.hexdigest()
            if sha256 is not None and sha256.lower() != found:
                raise InvalidRequest(
                    f"The content of '{self._path}' has the SHA-256 {found}, but {sha256} was "
                    "announced; nothing was stored. Send the file again."
                )
            return self._store.put(self._path, _Pieces(self._spool), self._size, found)

    def abort(self) -> None:
        """See ArtifactWriter."""
        self._spool.close()


class _Pieces:
    """The bytes of an open file, from its start, each time it is iterated."""

    def __init__(self, file: tempfile.SpooledTemporaryFile[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece


class FileSlice:
    """`length` bytes of the file `source` from `start` on, each time it is iterated.

    `sha256` is their digest once an iteration has come to its end.
    """

    def __init__(self, source: Path, start: int, length: int) -> None:
        self._source = source
        self._start = start
        self.length = length
        self.sha256 = ""

    def __iter__(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        left = self.length
        with open(self._source, "rb") as file:
            file.seek(self._start)
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise InvalidRequest(f"'{self._source}' became shorter while it was sent.")
                digest.update(piece)
                left -= len(piece)
                yield piece
        self.sha256 = digest.hexdigest()

    def send(self, transport: Transport, target: str, headers: Mapping[str, str]) -> str:
        """PUT these bytes to `target` and give the ETag of the answer.

        Raises Unavailable when the server says that other bytes have arrived.
        """
        sent = _body_headers(self.length) | dict(headers)
        with transport.open(
            "PUT",
            target,
            body=lambda: self,
            headers=sent,
            resend=True,
        ) as answer:
            arrived = digest_of(answer.headers)
            etag = answer.headers.get("ETag", "")
        if arrived and arrived != self.sha256:
            raise Unavailable(f"'{self._source}' was damaged on its way; send it again.")
        return etag


def file_target(path: str) -> str:
    """Where the file `path` is found on a server."""
    return f"{_PROXY}/artifacts/{quote(safe_path(path))}"


def digest_header(sha256: str) -> str:
    """A SHA-256 in hex as HTTP's digest headers write it (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def digest_of(headers: Mapping[str, str]) -> str | None:
    """The SHA-256, in hex, that an answer's Repr-Digest names; None when it names none."""
    for member in headers.get("Repr-Digest", "").split(","):
        algorithm, _, value = member.strip().partition("=")
        if algorithm.lower() == "sha-256":
            try:
                return base64.b64decode(value.strip(":"), validate=True).hex()
            except ValueError:
                return None
    return None


def _limited(response: BaseHTTPResponse, left: int) -> Iterator[bytes]:
    """The body in pieces. Raises Unavailable when the connection breaks."""
    from urllib3 import exceptions

    while left > 0:
        try:
            piece = response.read(min(PIECE, left))
        except (exceptions.HTTPError, OSError) as error:
            raise Unavailable("The connection broke while a file was read.") from error
        if not piece:
            return
        left -= len(piece)
        yield piece


def _body_headers(size: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Content-Length": str(size)}


def _name(path: str) -> str:
    return os.path.basename(safe_path(path))


def _epoch(text: str | None) -> float:
    if not text:
        return 0.0
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return 0.0
