"""From a URI to a `Store`."""

from __future__ import annotations

from headrace.errors import InvalidRequest
from headrace.protocol.uris import scheme_of
from headrace.store.base import Store

SERVER_ARTIFACT_ROOT = "mlflow-artifacts:"
"""Where a server's experiments keep their artifacts: behind the server itself."""


def open_store(uri: str, artifact_root: str = SERVER_ARTIFACT_ROOT) -> Store:
    """Open what `uri` names: a database (`sqlite:///FILE`, `postgresql://…`) or a server's URL.

    A database is made or brought up to date first. New experiments keep their artifacts under
    `artifact_root`. Raises InvalidRequest for a URI of another kind, InvalidState for a
    database that is newer than this program or not Headrace's, Unavailable if it can't be opened.
    """
    scheme = scheme_of(uri).partition("+")[0]
    if scheme in ("http", "https"):
        from headrace.store.rest import open_rest_store

        return open_rest_store(uri)
    if scheme in ("sqlite", "postgresql", "postgres"):
        from headrace.store.sql.open import open_sql_store

        return open_sql_store(uri, artifact_root)
    raise InvalidRequest(
        # Not the whole address: it may hold a password.
        f"{scheme or uri!r} is not a place to track to. Expected a server's URL ('http://…'), "
        "'sqlite:///FILE' or 'postgresql://USER@HOST/NAME'."
    )
