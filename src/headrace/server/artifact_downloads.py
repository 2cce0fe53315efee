"""The answer to a download: headers, ranges, and the file's bytes."""

from __future__ import annotations

import base64
import mimetypes
import posixpath
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.artifacts.base import ArtifactReader, ArtifactStore
from headrace.errors import InvalidRequest
from headrace.server.artifact_ranges import ByteRange, http_date, not_modified, wanted_range
from headrace.server.artifact_streams import BATCH, Workers, send_file

# The built-in table only: what a machine's own /etc/mime.types says must not matter.
_TYPES = mimetypes.MimeTypes()
_TEXT = {
    *("txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon"),
    *("toml", "yaml", "yml", "xml", "json", "js", "py", "py3", "csv", "tsv", "md", "rst"),
    *("ipynb", "MLmodel", "MLproject"),
}


def content_type(name: str) -> str:
    """The media type of a file by its name; what is text to a person is text/plain."""
    extension = posixpath.splitext(name)[1].removeprefix(".") or name
    if extension in _TEXT:
        return "text/plain"
    guessed, encoding = _TYPES.guess_type(name)
    if encoding:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    return guessed or "application/octet-stream"


def digest_header(sha256: str) -> str:
    """A SHA-256 in hex as the value of a Repr-Digest header (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


async def download(
    request: Request, artifacts: ArtifactStore, workers: Workers, path: str
) -> Response:
    """Answer a GET or HEAD of the file `path`, with conditions and ranges.

    Raises NotFound, InvalidRequest for a folder, UnsatisfiableRange.
    """
    reader = await workers.run(artifacts.read, path)
    try:
        return _answer(request, reader, workers, path)
    except BaseException:
        workers.run_after(None, reader.close)
        raise


def _answer(request: Request, reader: ArtifactReader, workers: Workers, path: str) -> Response:
    name = posixpath.basename(path)
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-disposition": _disposition(name),
        "content-type": content_type(name),
        "etag": reader.etag,
        "last-modified": http_date(reader.modified),
    }
    if reader.sha256:
        headers["repr-digest"] = digest_header(reader.sha256)
    if not_modified(request.headers, reader.etag, reader.modified):
        workers.run_after(None, reader.close)
        return Response(status_code=304, headers=headers)
    part = None
    if request.method == "GET":
        part = wanted_range(request.headers, reader.size, reader.etag, reader.modified)
    if part:
        headers["content-range"] = part.content_range(reader.size)
    whole = ByteRange(0, reader.size)
    return _FileAnswer(206 if part else 200, headers, reader, workers, part or whole)


def _disposition(name: str) -> str:
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


class _FileAnswer(Response):
    """Streams a part of an open file and closes it."""

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        reader: ArtifactReader,
        workers: Workers,
        part: ByteRange,
    ) -> None:
        super().__init__(None, status, headers | {"content-length": str(part.length)})
        self._reader = reader
        self._workers = workers
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; without a body where it was asked for by HEAD or is empty."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        if scope["method"] == "HEAD" or not self._part.length:
            self._workers.run_after(None, self._reader.close)
            await send(start)
            await send({"type": "http.response.body", "body": b""})
        elif self._part.length <= BATCH:
            # Read first: a file that cannot be read is then still an error answer.
            body = await self._workers.run(_read_and_close, self._reader, self._part)
            await send(start)
            await send({"type": "http.response.body", "body": body})
        else:
            await send(start)
            await send_file(send, receive, self._reader, self._workers, self._part)


def _read_and_close(reader: ArtifactReader, part: ByteRange) -> bytes:
    with reader:
        return b"".join(reader.chunks(part.start, part.length))


def announced_sha256(request: Request) -> str | None:
    """The SHA-256 in hex that the client says the body has, None when it says nothing.

    Read from Content-Digest or Repr-Digest (RFC 9530); other algorithms are passed over.
    """
    for header in ("content-digest", "repr-digest"):
        for member in request.headers.get(header, "").split(","):
            algorithm, _, value = member.strip().partition("=")
            if algorithm.lower() == "sha-256":
                return _hex_digest(header, value)
    return None


def _hex_digest(header: str, value: str) -> str:
    try:
        digest = base64.b64decode(value.strip(":"), validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32 or not (value.startswith(":") and value.endswith(":")):
        raise InvalidRequest(
            f"Invalid value {value[:80]!r} for 'sha-256' in the header '{header}': expected the "
            "32 bytes of the digest in base64 between colons."
        )
    return digest.hex()
