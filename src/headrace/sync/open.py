"""From the text that a person types to a source to copy from."""

from __future__ import annotations

from headrace.artifacts.open import default_artifact_root, local_path
from headrace.errors import InvalidRequest
from headrace.protocol.uris import scheme_of
from headrace.store.open import open_store
from headrace.sync.addresses import (
    in_full,
    is_database,
    is_plain,
    is_server,
    require_database,
    shown,
    sqlite_file,
)
from headrace.sync.mlflow_database import open_mlflow_database
from headrace.sync.mlflow_folder import MlflowFolder, is_mlflow_folder
from headrace.sync.servers import MlflowServer, is_headrace
from headrace.sync.source import Source
from headrace.sync.store_source import StoreSource


def open_source(uri: str, artifacts: str | None = None) -> Source:
    """Open what `uri` names to read from it: a server, a database, MLflow's own stores.

    `artifacts` is the folder in which the server of a database keeps what it calls
    `mlflow-artifacts:/`, if that is not the usual place.

    Raises InvalidRequest for what is not recognised, NotFound for a file or folder that is not
    there. Nothing is made or changed.
    """
    folder = local_path(artifacts) if artifacts else None
    if is_server(uri):
        kind = StoreSource if is_headrace(uri) else MlflowServer
        return kind(open_store(uri), shown(uri), server=uri, folder=folder)
    uri = in_full(uri)
    if is_database(uri):
        require_database(uri)
        file = sqlite_file(uri)
        mlflows = open_mlflow_database(uri, file, shown(uri), folder)
        if mlflows is not None:
            return mlflows
        root = folder or default_artifact_root(uri)
        source = StoreSource(open_store(uri, str(root)), shown(uri), folder=root)
        if not root.is_dir():
            source.notes.append(
                f"There is no folder {root}, so no files of runs or models were found. If they "
                "lie elsewhere, name the folder: --source-artifacts FOLDER."
            )
        return source
    if is_plain(uri) and is_mlflow_folder(local_path(uri)):
        return MlflowFolder(local_path(uri), uri, artifacts=folder)
    raise InvalidRequest(
        # Not the whole address: it may hold a password.
        f"{scheme_of(uri) or uri!r} is nothing to copy from. Expected a server's URL ('http://…'), "
        "a database ('sqlite:///FILE', 'postgresql://USER@HOST/NAME') or a folder."
    )
