"""Uploads in parts, signed URLs, and the endpoints that a signed URL leads to."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.artifacts.base import ArtifactStore, Grant, Part, TakesParts
from headrace.artifacts.paths import base_name, join, safe_path
from headrace.artifacts.signing import SIGNED_PREFIX
from headrace.errors import PayloadTooLarge
from headrace.protocol import limits
from headrace.protocol.artifacts import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListUploadedParts,
    MultipartUpload,
    PartCredential,
    PartDone,
    PresignedDownload,
    UploadedParts,
)
from headrace.protocol.codec import decode, decode_query, encode
from headrace.protocol.wire import Empty, Int64
from headrace.protocol.wire import Request as WireRequest
from headrace.server.artifact_downloads import announced_sha256, digest_header, download
from headrace.server.artifact_streams import Workers, body_of, receive_file

UPLOAD_LIFETIME = 86_400.0
"""Seconds that the URL of a part can be used: as long as an idle upload is kept."""
DOWNLOAD_LIFETIME = 3600.0
"""Seconds that a signed download URL can be used."""


class _Signature(WireRequest):
    expires: Int64
    signature: str
    upload_id: str = ""
    part_number: Int64 = 0


@dataclass(frozen=True)
class UploadEndpoints:
    """Endpoints over one store; each takes a request and gives an answer or raises."""

    artifacts: ArtifactStore
    workers: Workers
    public_url: str | None
    """The server's address as clients see it; None: what they say in the Host header."""

    async def create(self, request: Request) -> Response:
        """Begin an upload: its id, and where to PUT each part."""
        wanted = decode(await read_body(request, self.workers), CreateMultipartUpload)
        path = _target(request, wanted.path)
        upload_id = await self.workers.run(self.artifacts.create_upload, path, wanted.num_parts)
        address = address_of(request, self.public_url)
        # With thousands of parts this takes a while: not on the event loop.
        credentials = await self.workers.run(
            self._credentials, address, path, upload_id, wanted.num_parts
        )
        return answer(MultipartUpload(upload_id=upload_id, credentials=credentials))

    async def parts(self, request: Request) -> Response:
        """What has arrived of an upload; its URLs are those that `create` gave."""
        path = safe_path(request.path_params["path"])
        wanted = decode_query(request.url.query, ListUploadedParts)
        parts = await self.workers.run(self.artifacts.list_parts, path, wanted.upload_id)
        done = [PartDone(part_number=part.number, etag=part.etag) for part in parts]
        return answer(UploadedParts(upload_id=wanted.upload_id, parts=done))

    async def complete(self, request: Request) -> Response:
        """Join all parts into the file."""
        wanted = decode(await read_body(request, self.workers), CompleteMultipartUpload)
        path = _target(request, wanted.path)
        parts = [Part(part.part_number, part.etag) for part in wanted.parts]
        await self.workers.run_long(self.artifacts.complete_upload, path, wanted.upload_id, parts)
        return answer(Empty())

    async def abort(self, request: Request) -> Response:
        """Drop an upload and its parts."""
        wanted = decode(await read_body(request, self.workers), AbortMultipartUpload)
        path = _target(request, wanted.path)
        await self.workers.run(self.artifacts.abort_upload, path, wanted.upload_id)
        return answer(Empty())

    async def presign(self, request: Request) -> Response:
        """A URL to fetch a file from without other credentials, and the file's length."""
        path = safe_path(request.path_params["path"])
        size = await self.workers.run(_size, self.artifacts, path)
        signed = self.artifacts.sign(Grant("GET", path), DOWNLOAD_LIFETIME)
        url = absolute(address_of(request, self.public_url), signed.url)
        return answer(PresignedDownload(url=url, headers=signed.headers, file_size=size))

    def _credentials(
        self, address: str, path: str, upload_id: str, num_parts: int
    ) -> list[PartCredential]:
        credentials = []
        for n in range(1, num_parts + 1):
            signed = self.artifacts.sign(Grant("PUT", path, upload_id, n), UPLOAD_LIFETIME)
            url = absolute(address, signed.url)
            credentials.append(PartCredential(url=url, part_number=n, headers=signed.headers))
        return credentials


@dataclass(frozen=True)
class SignedEndpoints:
    """What the server's own signed URLs lead to. The signature is the only authority."""

    artifacts: ArtifactStore
    signed: TakesParts
    workers: Workers

    async def get(self, request: Request) -> Response:
        """Fetch the file that the URL allows."""
        path = safe_path(request.path_params["path"])
        given = decode_query(request.url.query, _Signature)
        self.signed.verify(Grant("GET", path), given.expires, given.signature)
        return await download(request, self.artifacts, self.workers, path)

    async def put_part(self, request: Request) -> Response:
        """Store the part that the URL allows; its ETag is needed to complete the upload."""
        path = safe_path(request.path_params["path"])
        given = decode_query(request.url.query, _Signature)
        grant = Grant("PUT", path, given.upload_id, given.part_number)
        self.signed.verify(grant, given.expires, given.signature)
        sha256 = announced_sha256(request)
        writer = await self.workers.run(
            self.signed.write_part, path, given.upload_id, given.part_number
        )
        stored = await receive_file(request, writer, self.workers, sha256)
        # A part is known by its content, so the same bytes have the same ETag when sent again.
        headers = {"etag": f'"{stored.sha256}"', "repr-digest": digest_header(stored.sha256)}
        return answer(Empty(), headers)


def upload_routes(endpoints: UploadEndpoints) -> list[Route]:
    """The routes of uploads in parts and of signed URLs, under both prefixes."""
    routes = []
    for prefix in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        routes += [
            Route(f"{prefix}/mpu/create/{{path:path}}", endpoints.create, methods=["POST"]),
            Route(f"{prefix}/mpu/parts/{{path:path}}", endpoints.parts, methods=["GET"]),
            Route(f"{prefix}/mpu/complete/{{path:path}}", endpoints.complete, methods=["POST"]),
            Route(f"{prefix}/mpu/abort/{{path:path}}", endpoints.abort, methods=["POST"]),
            Route(f"{prefix}/presigned/{{path:path}}", endpoints.presign, methods=["GET"]),
        ]
    if isinstance(endpoints.artifacts, TakesParts):
        signed = SignedEndpoints(endpoints.artifacts, endpoints.artifacts, endpoints.workers)
        routes += [
            Route(f"{SIGNED_PREFIX}/file/{{path:path}}", signed.get, methods=["GET"]),
            Route(f"{SIGNED_PREFIX}/part/{{path:path}}", signed.put_part, methods=["PUT"]),
        ]
    return routes


def answer(value: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    """A struct as a JSON answer."""
    return Response(encode(value), headers=headers, media_type="application/json")


def address_of(request: Request, public_url: str | None) -> str:
    """This server's address as the client of `request` can reach it."""
    return (public_url or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")


def absolute(address: str, url: str) -> str:
    """A signed URL with this server's address in front, if it is this server's own."""
    return address + url if url.startswith("/") else url


async def read_body(request: Request, workers: Workers) -> bytes:
    """The whole body of a call. PayloadTooLarge when it is longer than a call may be."""
    pieces: list[bytes] = []
    length = 0
    async for piece in body_of(request, workers.patience):
        length += len(piece)
        if length > limits.MAX_BODY_BYTES:
            raise PayloadTooLarge(f"The body is longer than {limits.MAX_BODY_BYTES} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _target(request: Request, client_path: str) -> str:
    folder = request.path_params["path"].removesuffix("/")
    return join(safe_path(folder, allow_root=True), base_name(client_path))


def _size(artifacts: ArtifactStore, path: str) -> int:
    with artifacts.read(path) as reader:
        return reader.size
