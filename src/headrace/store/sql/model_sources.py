"""From the `source` of a new model version to the place of its files, its run and its model.

A version's files are handed out to whoever may read the registry, so a source must not lead to
files that were never logged: a path on this machine, or a place behind a tracking server, counts
only inside the artifact folder of the run or logged model that the request names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from headrace.errors import InvalidRequest
from headrace.protocol import uris
from headrace.protocol.model_versions import CreateModelVersion
from headrace.store.sql.logged_model_reader import find_model
from headrace.store.sql.registry_reader import (
    find_alias,
    find_registered_model,
    find_version,
)
from headrace.store.sql.run_reader import find_run_row
from headrace.store.sql.transaction import Transaction

_BEHIND_A_SERVER: Final = ("mlflow-artifacts", "http", "https")
_ON_THIS_MACHINE: Final = ("", "file")
_PROMPT_SOURCES: Final = ("dummy-source", "prompt-template")
"""What MLflow's client writes as the source of a prompt, which has no files."""
_MAX_DECODINGS: Final = 16


@dataclass(frozen=True)
class Lineage:
    """Where the files of a version lie, and what they come from."""

    storage_location: str
    run_id: str = ""
    model_id: str | None = None


def resolve_source(
    transaction: Transaction, request: CreateModelVersion, *, is_prompt: bool
) -> Lineage:
    """The lineage of the version that `request` asks for.

    Raises NotFound for a run, logged model or version that is not there, InvalidRequest for a
    source that leads out of what the request names.
    """
    source, given = request.source, Lineage(request.source, request.run_id or "", request.model_id)
    _refuse_traversal(source)
    if is_prompt and source in _PROMPT_SOURCES:
        return given
    scheme = uris.scheme_of(source)
    if scheme == "models":
        return _from_model(transaction, source, given)
    if scheme == "runs":
        return _from_run(transaction, source, given)
    if scheme in _BEHIND_A_SERVER or scheme in _ON_THIS_MACHINE:
        if not any(_is_inside(source, root) for root in _roots(transaction, given)):
            raise InvalidRequest(
                f"Invalid value {source!r} for 'source': a path, or a place behind a tracking "
                "server, must lie inside the artifact folder of the run that 'run_id' names or "
                "of the logged model that 'model_id' names."
            )
        return given
    if given.model_id:
        find_model(transaction, given.model_id)
    return given


def _from_model(transaction: Transaction, source: str, given: Lineage) -> Lineage:
    named = uris.parse_models_uri(source)
    if isinstance(named, uris.LoggedModelUri):
        if given.model_id and given.model_id != named.model_id:
            raise InvalidRequest(
                f"'source' names the logged model '{named.model_id}', 'model_id' names "
                f"'{given.model_id}'. Send the same in both, or 'source' alone."
            )
        row = find_model(transaction, named.model_id)
        artifact_uri, source_run_id = row[6], row[9]
        return Lineage(artifact_uri, given.run_id or source_run_id or "", named.model_id)
    model = find_registered_model(transaction, named.name)
    if named.version is not None:
        row = find_version(transaction, model, _version_number(named.version))
    elif named.alias is not None:
        row = find_alias(transaction, model, named.alias)
    else:
        raise InvalidRequest(
            f"Invalid value {source!r} for 'source': a stage may hold another version tomorrow; "
            "name a version or an alias."
        )
    run_id, model_id, storage_location = row[8], row[12], row[13]
    return Lineage(storage_location, given.run_id or run_id, given.model_id or model_id)


def _version_number(text: str) -> int:
    if len(text) > 9:
        raise InvalidRequest(f"Invalid model version {text[:20]!r} in 'source'.")
    return int(text)


def _from_run(transaction: Transaction, source: str, given: Lineage) -> Lineage:
    named = uris.parse_run_uri(source)
    if given.run_id and given.run_id != named.run_id:
        raise InvalidRequest(
            f"'source' names the run '{named.run_id}', 'run_id' names '{given.run_id}'. Send "
            "the same in both, or 'source' alone."
        )
    artifact_uri = find_run_row(transaction.connection, named.run_id)[8]
    if given.model_id:
        find_model(transaction, given.model_id)
    return Lineage(uris.join(artifact_uri, named.path), named.run_id, given.model_id)


def _roots(transaction: Transaction, given: Lineage) -> list[str]:
    """The artifact folders of the run and the logged model that a request names."""
    roots: list[Any] = []
    if given.run_id:
        roots.append(find_run_row(transaction.connection, given.run_id)[8])
    if given.model_id:
        roots.append(find_model(transaction, given.model_id)[6])
    return roots


def _refuse_traversal(source: str) -> None:
    """Refuse a `..`, however often it was percent-encoded, and a NUL."""
    text = source
    for _ in range(_MAX_DECODINGS):
        if ".." in text.replace("\\", "/").split("/") or "\x00" in text:
            break
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded
    raise InvalidRequest(
        f"Invalid value {source!r} for 'source': expected an address without '..' or NUL in it, "
        "encoded or not."
    )


def _is_inside(source: str, root: str) -> bool:
    """Whether `source` is `root` or lies below it."""
    try:
        inner, outer = _place(source), _place(root)
    except ValueError:  # no address: an open bracket, half a surrogate pair
        return False
    return inner is not None and inner[: len(outer or ())] == outer


def _place(uri: str) -> tuple[str, ...] | None:
    """A URI as comparable steps from the outermost in; None if it is on another machine."""
    scheme = uris.scheme_of(uri)
    if scheme in _ON_THIS_MACHINE:
        path = uri
        if scheme == "file":
            parts = urlsplit(uri)
            if parts.netloc not in ("", "localhost"):
                return None
            path = unquote(parts.path)
        # Symbolic links are followed now, not trusted by their names.
        return ("file", *os.path.realpath(path).strip("/").split("/"))
    if scheme == "mlflow-artifacts":
        return (scheme, *uris.parse_proxy_uri(uri).path.split("/"))
    parts = urlsplit(uri)
    steps = (step for step in parts.path.split("/") if step)
    return (scheme, parts.netloc.lower(), *steps)
