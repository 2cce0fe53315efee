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
    ReadSmallFiles,
    SmallFile,
    SmallFiles,
)
from headrace.protocol.logged_models import ListLoggedModelArtifacts
from headrace.server.artifact_locations import logged_model_root, run_root, store_path
from headrace.store.base import Store

MAX_SMALL_FILES = 64
MAX_SMALL_BYTES = 4 << 20
MAX_SMALL_DEPTH = 8


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


def read_small_files(artifacts: ArtifactStore, request: ReadSmallFiles) -> SmallFiles:
    """The files below a folder, as many of them as fit; none for a file or nothing.

    Files that do not fit are left out, and so are folders deeper than any model's.
    """
    found = SmallFiles(is_all=True, files=[])
    _collect(artifacts, _folder(request.path, "path"), "", found, MAX_SMALL_DEPTH)
    return found


def _collect(
    artifacts: ArtifactStore, root: str, below: str, found: SmallFiles, depth: int
) -> None:
    for info in artifacts.list(join(root, below)):
        path = join(below, info.path)
        if info.is_dir:
            if depth == 0:
                found.is_all = False
            else:
                _collect(artifacts, root, path, found, depth - 1)
            continue
        taken = sum(len(file.content) for file in found.files)
        if len(found.files) == MAX_SMALL_FILES or taken + (info.file_size or 0) > MAX_SMALL_BYTES:
            found.is_all = False
            continue
        with artifacts.read(join(root, path)) as reader:
            # It may have been replaced by a larger one since it was listed.
            if taken + reader.size > MAX_SMALL_BYTES:
                found.is_all = False
                continue
            found.files.append(SmallFile(path=path, content=b"".join(reader.chunks())))


def _listing(artifacts: ArtifactStore, root_uri: str, folder: str) -> ArtifactListing:
    found = artifacts.list(join(store_path(artifacts, root_uri), folder))
    files = [FileInfo(join(folder, info.path), info.is_dir, info.file_size) for info in found]
    return ArtifactListing(root_uri=root_uri, files=files)


def _folder(path: str | None, field: str) -> str:
    """A folder's path from the wire: absent and empty mean the root, one '/' at the end is fine."""
    return safe_path((path or "").removesuffix("/"), field, allow_root=True)
