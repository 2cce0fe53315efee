"""The functions of `headrace.artifacts`: files by the URIs that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client import documents, images
from headrace.client.client import Client, current_client
from headrace.errors import InvalidRequest
from headrace.protocol.artifacts import FileInfo
from headrace.protocol.uris import join, scheme_of


def download_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    dst_path: str | None = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> str:
    """A file or folder on local disk; its path.

    Named by a URI (`runs:/…`, `models:/…`, `mlflow-artifacts:/…`, a path), or by a run and a path
    in it. Without `dst_path` it lands in a new temporary folder, unless it is local already.
    NotFound; InvalidRequest.
    """
    client = _client(tracking_uri, registry_uri)
    uri = _uri(artifact_uri, run_id, artifact_path)
    return client._download_uri(uri, dst_path)


def list_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    tracking_uri: str | None = None,
) -> list[FileInfo]:
    """What lies directly in a folder, named as in `download_artifacts`.

    Paths are relative to the run or the model (`models:/…`); those of another URI begin with the
    folder's own name.
    """
    client = _client(tracking_uri, None)
    if run_id is not None and artifact_uri is None:
        return client.list_artifacts(run_id, artifact_path)
    uri = _uri(artifact_uri, run_id, artifact_path)
    place = client._locate(uri)
    folder = "" if scheme_of(uri) == "models" else place.path.rpartition("/")[2]
    return [
        FileInfo(join(folder, entry.path) if folder else entry.path, entry.is_dir, entry.file_size)
        for entry in place.store.list(place.path)
    ]


def load_text(artifact_uri: str) -> str:
    """The text in a file. NotFound; InvalidRequest when it is not UTF-8."""
    try:
        return _read(artifact_uri).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"'{artifact_uri}' is not a text in UTF-8: {error}.") from error


def load_dict(artifact_uri: str) -> Any:
    """The dictionary or list in a file, JSON or YAML by its name. NotFound; InvalidRequest."""
    return documents.parse(_read(artifact_uri), artifact_uri)


def load_image(artifact_uri: str) -> Any:
    """The picture in a file, as PIL holds it. NotFound; InvalidRequest."""
    import io

    return images.open_image(io.BytesIO(_read(artifact_uri)), artifact_uri)


def _client(tracking_uri: str | Path | None, registry_uri: str | Path | None) -> Client:
    if tracking_uri or registry_uri:
        return Client(tracking_uri, registry_uri)
    return current_client()


def _uri(artifact_uri: str | None, run_id: str | None, artifact_path: str | None) -> str:
    if (artifact_uri is None) == (run_id is None):
        raise InvalidRequest("Give either 'artifact_uri' or 'run_id', and not both.")
    if artifact_uri is None:
        return join(f"runs:/{run_id}", artifact_path or "")
    if artifact_path is not None:
        raise InvalidRequest("'artifact_path' goes with 'run_id'; put it into 'artifact_uri'.")
    return str(artifact_uri)


def _read(artifact_uri: str) -> bytes:
    place = current_client()._locate(artifact_uri)
    with place.store.read(place.path) as reader:
        return b"".join(reader.chunks())
