"""From the text that a person types to a source to copy from."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from headrace.artifacts.open import default_artifact_root, local_path
from headrace.errors import InvalidRequest, NotFound
from headrace.protocol.uris import scheme_of
from headrace.store.open import open_store
from headrace.sync.source import Source
from headrace.sync.store_source import StoreSource


def open_source(uri: str, artifacts: str | None = None) -> Source:
    """Open what `uri` names to read from it: a server, a database, MLflow's own stores.

    `artifacts` is the folder in which the server of a database keeps what it calls
    `mlflow-artifacts:/`, if that is not the usual place.

    Raises InvalidRequest for what is not recognised, NotFound for a file or folder that is not
    there. Nothing is made or changed.
    """
    scheme = scheme_of(uri).partition("+")[0]
    folder = local_path(artifacts) if artifacts else None
    if scheme in ("http", "https"):
        return StoreSource(open_store(uri), shown(uri), server=uri, folder=folder)
    if scheme in ("sqlite", "postgresql", "postgres"):
        require_database(uri)
        root = folder or default_artifact_root(uri)
        source = StoreSource(open_store(uri, str(root)), shown(uri), folder=root)
        if not root.is_dir():
            source.notes.append(
                f"There is no folder {root}, so no files of runs or models were found. If they "
                "lie elsewhere, name the folder: --source-artifacts FOLDER."
            )
        return source
    raise InvalidRequest(
        # Not the whole address: it may hold a password.
        f"{scheme or uri!r} is nothing to copy from. Expected a server's URL ('http://…'), "
        "a database ('sqlite:///FILE', 'postgresql://USER@HOST/NAME') or a folder."
    )


def require_database(uri: str) -> None:
    """Raise NotFound where `uri` names a SQLite file that is not there."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise NotFound(f"There is no database at {file}.")


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///FILE` address, None for any other."""
    head, found, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(name) if found and head.startswith("sqlite") and name else None


def shown(uri: str) -> str:
    """An address without its password, for messages."""
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()
