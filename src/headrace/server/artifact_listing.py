"""Lists of files: of the store's folders, of a run, of a logged model. Plain calls, no HTTP."""

from __future__ import annotations

from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.paths import join, safe_path
from headrace.protocol.artifacts import (
    ArtifactListing,
    FileInfo,
    ListArtifacts,
    ListRunArtifacts,
    ProxyListing,
)
from headrace.protocol.logged_models import ListLoggedModelArtifacts
from headrace.server.artifact_locations import logged_model_root, run_root, store_path
from headrace.store.base import Store


def list_artifacts(artifacts: ArtifactStore, request: ListArtifacts) -> ProxyListing:
    """The files of a folder of the store, by their last name; none for a file or nothing."""
    path = _folder(request.path, "path")
    return ProxyListing(files=list(artifacts.list(path)))


def list_run_artifacts(
    store: Store, artifacts: ArtifactStore, request: ListRunArtifacts
) -> ArtifactListing:
    """The files of a run, with paths relative to its root. NotFound for the run."""
    root = run_root(store, request.run_id)
    return _listing(artifacts, root, _folder(request.path, "path"))


def list_logged_model_artifacts(
    store: Store, artifacts: ArtifactStore, request: ListLoggedModelArtifacts
) -> ArtifactListing:
    """The files of a logged model, with paths relative to its root. NotFound for the model."""
    root = logged_model_root(store, request.model_id)
    folder = _folder(request.artifact_directory_path, "artifact_directory_path")
    return _listing(artifacts, root, folder)


def _listing(artifacts: ArtifactStore, root_uri: str, folder: str) -> ArtifactListing:
    found = artifacts.list(join(store_path(artifacts, root_uri), folder))
    files = [FileInfo(join(folder, info.path), info.is_dir, info.file_size) for info in found]
    return ArtifactListing(root_uri=root_uri, files=files)


def _folder(path: str | None, field: str) -> str:
    """A folder's path from the wire: absent and empty mean the root, one '/' at the end is fine."""
    return safe_path((path or "").removesuffix("/"), field, allow_root=True)
