"""Routes that carry the bytes of artifacts; lists of them are calls of the endpoint table.

They raise HeadraceError; whoever mounts them turns that into an answer, and has checked by then
who may do it. Only the routes under `/artifacts/signed` need no other credentials than their URL.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.paths import safe_path
from headrace.errors import InvalidRequest, PayloadTooLarge
from headrace.protocol import names
from headrace.protocol.codec import decode_query
from headrace.protocol.model_versions import ModelVersionRef
from headrace.protocol.runs import RunRef
from headrace.protocol.wire import Empty
from headrace.protocol.wire import Request as WireRequest
from headrace.server.artifact_downloads import announced_sha256, digest_header, download
from headrace.server.artifact_locations import (
    file_in,
    logged_model_root,
    model_version_root,
    run_root,
)
from headrace.server.artifact_streams import Workers, content_length, receive_file
from headrace.server.artifact_uploads import (
    UploadEndpoints,
    answer,
    upload_routes,
)
from headrace.server.settings import ServerSettings
from headrace.store.base import Store

MAX_PAGE_UPLOAD = 10 * 1024 * 1024
"""Bytes that a page in a browser may send to `upload-artifact`."""


class _RunFile(RunRef):
    path: str = ""


class _VersionFile(ModelVersionRef):
    path: str = ""


class _LoggedModelFile(WireRequest):
    artifact_file_path: str = ""


def artifact_routes(
    artifacts: ArtifactStore, store: Store, settings: ServerSettings
) -> list[Route]:
    """All routes that carry artifacts, for one store of them."""
    workers = Workers(patience=settings.body_timeout)
    files = FileEndpoints(artifacts, workers)
    located = LocatedEndpoints(artifacts, store, workers)
    routes = []
    for prefix in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        path = f"{prefix}/artifacts/{{path:path}}"
        routes += [
            Route(path, files.get, methods=["GET"]),
            Route(path, files.put, methods=["PUT"]),
            Route(path, files.delete, methods=["DELETE"]),
        ]
    return [
        *routes,
        *upload_routes(UploadEndpoints(artifacts, workers, settings.public_url)),
        Route("/get-artifact", located.of_run, methods=["GET"]),
        Route("/model-versions/get-artifact", located.of_model_version, methods=["GET"]),
        Route(
            "/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files",
            located.of_logged_model,
            methods=["GET"],
        ),
        Route("/ajax-api/2.0/mlflow/upload-artifact", located.upload_to_run, methods=["POST"]),
    ]


@dataclass(frozen=True)
class FileEndpoints:
    """The proxy: files of the store by their path in it."""

    artifacts: ArtifactStore
    workers: Workers

    async def get(self, request: Request) -> Response:
        """Answer the file's bytes, or headers for HEAD."""
        path = safe_path(request.path_params["path"])
        return await download(request, self.artifacts, self.workers, path)

    async def put(self, request: Request) -> Response:
        """Store the body as the file, over an older one."""
        path = safe_path(request.path_params["path"])
        return await put_file(request, self.artifacts, self.workers, path)

    async def delete(self, request: Request) -> Response:
        """Remove the file or folder."""
        path = safe_path(request.path_params["path"].removesuffix("/"))
        await self.workers.run(self.artifacts.delete, path)
        return answer(Empty())


@dataclass(frozen=True)
class LocatedEndpoints:
    """Files by what they belong to: a run, a logged model, a version of a registered model."""

    artifacts: ArtifactStore
    store: Store
    workers: Workers

    async def of_run(self, request: Request) -> Response:
        """Answer the file `?path=` of the run `?run_id=`."""
        wanted = decode_query(request.url.query, _RunFile)
        root = await self.workers.run(run_root, self.store, wanted.run_id)
        return await self._file(request, root, wanted.path, "path")

    async def of_model_version(self, request: Request) -> Response:
        """Answer the file `?path=` of the version `?version=` of the model `?name=`."""
        wanted = decode_query(request.url.query, _VersionFile)
        version = str(wanted.version)
        root = await self.workers.run(model_version_root, self.store, wanted.name, version)
        return await self._file(request, root, wanted.path, "path")

    async def of_logged_model(self, request: Request) -> Response:
        """Answer the file `?artifact_file_path=` of the logged model in the path."""
        wanted = decode_query(request.url.query, _LoggedModelFile)
        model_id = request.path_params["model_id"]
        root = await self.workers.run(logged_model_root, self.store, model_id)
        return await self._file(request, root, wanted.artifact_file_path, "artifact_file_path")

    async def upload_to_run(self, request: Request) -> Response:
        """Store the body, at most 10 MiB, as the file `?path=` of the run `?run_uuid=`."""
        wanted = decode_query(request.url.query, _RunFile)
        names.check_required("path", wanted.path)
        if (content_length(request) or 0) > MAX_PAGE_UPLOAD:
            raise PayloadTooLarge(
                f"The file has {content_length(request)} bytes; at most {MAX_PAGE_UPLOAD} can be "
                "sent this way. Use a client, which sends larger files in parts."
            )
        root = await self.workers.run(run_root, self.store, wanted.run_id)
        path = file_in(self.artifacts, root, wanted.path, "path")
        return await put_file(request, self.artifacts, self.workers, path, MAX_PAGE_UPLOAD)

    async def _file(self, request: Request, root: str, path: str, field: str) -> Response:
        names.check_required(field, path)
        located = file_in(self.artifacts, root, path, field)
        return await download(request, self.artifacts, self.workers, located)


async def put_file(
    request: Request,
    artifacts: ArtifactStore,
    workers: Workers,
    path: str,
    limit: int | None = None,
) -> Response:
    """Store the body of `request` as the file `path`; the answer has its ETag and digest."""
    if "content-range" in request.headers:
        raise InvalidRequest(
            "The header 'Content-Range' is not taken: send the whole file, or an upload in parts."
        )
    sha256 = announced_sha256(request)
    writer = await workers.run(artifacts.write, path)
    stored = await receive_file(request, writer, workers, sha256, limit)
    headers = {"etag": stored.etag, "repr-digest": digest_header(stored.sha256)}
    return answer(Empty(), headers)
