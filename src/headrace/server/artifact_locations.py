"""From a run, a logged model or a model version to the folder of its files in the store."""

from __future__ import annotations

from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.local import LocalArtifactStore
from headrace.artifacts.paths import join, path_of_uri, safe_path
from headrace.errors import InvalidRequest
from headrace.protocol.logged_models import GetLoggedModel
from headrace.protocol.model_versions import ModelVersionRef
from headrace.protocol.runs import RunRef
from headrace.store.base import Store


def store_path(artifacts: ArtifactStore, uri: str) -> str:
    """The store path of an artifact URI. InvalidRequest when this server does not hold it."""
    path = path_of_uri(uri)
    if path is None and isinstance(artifacts, LocalArtifactStore):
        path = artifacts.local_path(uri)
    if path is None:
        raise InvalidRequest(
            f"The files lie at {uri!r}, which is not in this server's artifact root "
            "('mlflow-artifacts:/…'); fetch them from there directly."
        )
    return path


def run_root(store: Store, run_id: str) -> str:
    """The artifact URI of a run. NotFound."""
    return store.runs.get(RunRef(run_id=run_id)).run.info.artifact_uri


def logged_model_root(store: Store, model_id: str) -> str:
    """The artifact URI of a logged model. NotFound."""
    return store.logged_models.get(GetLoggedModel(model_id=model_id)).model.info.artifact_uri


def model_version_root(store: Store, name: str, version: str) -> str:
    """The artifact URI of a model version. NotFound."""
    return store.model_versions.download_uri(
        ModelVersionRef(name=name, version=version)
    ).artifact_uri


def file_in(artifacts: ArtifactStore, root_uri: str, path: str, field: str) -> str:
    """The store path of the file `path`, from the client's `field`, below an artifact URI."""
    return join(store_path(artifacts, root_uri), safe_path(path, field))
