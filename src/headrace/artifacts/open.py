"""From an artifact URI to the store that holds it, and the path in that store."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from headrace import settings
from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.paths import join, safe_path
from headrace.errors import InvalidRequest
from headrace.protocol.uris import parse_proxy_uri, scheme_of

DEFAULT_FOLDER: Final = "headrace-artifacts"


class ArtifactPlace(NamedTuple):
    """A file or folder: its path in a store ("" for the store's root)."""

    store: ArtifactStore
    path: str

    def below(self, path: str | None) -> ArtifactPlace:
        """The place `path` below this one. Raises InvalidRequest for a path that leads out."""
        if not path:
            return self
        return ArtifactPlace(self.store, join(self.path, safe_path(path, "artifact path")))


def default_artifact_root(database_uri: str) -> Path:
    """The folder where artifacts go when the SDK writes to a database without a server.

    The setting ARTIFACTS_DESTINATION, if there is one; else `headrace-artifacts` beside the
    SQLite file, or in the working folder for another database.
    """
    configured = settings.ARTIFACTS_DESTINATION.get()
    if configured:
        return local_path(configured)
    if scheme_of(database_uri).startswith("sqlite"):
        # sqlite:///relative.db and sqlite:////absolute.db
        file = database_uri.partition(":")[2].partition("?")[0].removeprefix("///")
        return Path(os.path.abspath(file)).parent / DEFAULT_FOLDER
    return Path.cwd() / DEFAULT_FOLDER


def open_artifacts(uri: str, tracking_uri: str) -> ArtifactPlace:
    """The place that `uri` names: a local path, `file:` or `mlflow-artifacts:`.

    `mlflow-artifacts:` means the artifacts of the tracking server; when `tracking_uri` is a
    database, the folder that `default_artifact_root` names. Another host than the tracking
    server's is asked without credentials. Raises InvalidRequest for a kind of URI that Headrace
    does not read.
    """
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        return _local_place(uri, tracking_uri)
    if scheme != "mlflow-artifacts":
        raise InvalidRequest(
            f"Artifacts at '{scheme}:' cannot be reached: expected a local path, a 'file:' URI, "
            "or 'mlflow-artifacts:', which is a tracking server."
        )
    path = safe_path(parse_proxy_uri(uri).path, "artifact URI", allow_root=True)
    if scheme_of(tracking_uri) not in ("http", "https"):
        return ArtifactPlace(local_store(default_artifact_root(tracking_uri)), path)
    host = urlsplit(uri).netloc
    if host.lower() in ("", urlsplit(tracking_uri).netloc.rpartition("@")[2].lower()):
        return ArtifactPlace(_http_store(tracking_uri, _credentials()), path)
    # Whoever registers a model names its host, and must not be sent our password.
    return ArtifactPlace(_http_store(f"{scheme_of(tracking_uri)}://{host}", None), path)


def _local_place(uri: str, tracking_uri: str) -> ArtifactPlace:
    """A folder on this machine, in the store of the artifact root that it belongs to.

    Every store keeps a folder of its own at its root, so the root is taken as far up as it is
    known: the default root, else the folder of the experiment.
    """
    local = local_path(uri)
    if scheme_of(tracking_uri) not in ("http", "https"):
        root = default_artifact_root(tracking_uri)
        if local.is_relative_to(root):
            return ArtifactPlace(local_store(root), _relative(local, root))
    if local.name == "artifacts" and len(local.parents) > 2:
        root = local.parents[1]
        if root.name == "models":
            root = root.parent
        return ArtifactPlace(local_store(root), _relative(local, root))
    return ArtifactPlace(local_store(local), "")


def local_path(uri: str) -> Path:
    """The absolute path that a local path or a `file:` URI names."""
    path = unquote(urlsplit(uri).path) if scheme_of(uri) == "file" else uri
    return Path(os.path.abspath(os.path.expanduser(path)))


def _relative(local: Path, root: Path) -> str:
    below = local.relative_to(root).as_posix()
    return "" if below == "." else safe_path(below, "artifact URI")


def _credentials() -> tuple[str | None, ...]:
    """What a connection depends on besides its URL: changed credentials need a new one."""
    variables = (
        settings.TRACKING_TOKEN,
        settings.TRACKING_USERNAME,
        settings.TRACKING_PASSWORD,
    )
    return tuple(variable.get() for variable in variables)


@lru_cache(maxsize=64)
def local_store(root: Path) -> ArtifactStore:
    """The store of a folder on this machine, one for each folder in a process."""
    from headrace.artifacts.local import LocalArtifactStore

    return LocalArtifactStore(root)


@lru_cache(maxsize=16)
def _http_store(url: str, credentials: tuple[str | None, ...] | None) -> ArtifactStore:
    """The artifacts of a server; without credentials for None. They are part of the cache's key."""
    from headrace.artifacts.http import HttpArtifactStore
    from headrace.transport import Transport

    return HttpArtifactStore(Transport(url, anonymous=credentials is None))
