"""What is signed: the names and digests of a model's files, as an in-toto statement.

The statement has the predicate `https://model_signing/signature/v1.0` of OpenSSF's model-signing:
each file's name and SHA-256, in the order of their path's parts, and as its subject the SHA-256
over those digests one after the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from headrace.artifacts.paths import safe_path
from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.trust.covered import IGNORED, SIGNATURE_FILE, is_ignored
from headrace.models.trust.keys import shown

_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct):
    method: str
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: list[str] = []


class _Predicate(msgspec.Struct):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(msgspec.Struct):
    type_: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: _Predicate


_decoder = msgspec.json.Decoder(_Statement)


def statement_of(model_name: str, digests: Mapping[str, str]) -> bytes:
    """The statement that `digests` (path to SHA-256 in hex) are the files of a model.

    Raises InvalidRequest for a path that is not a plain relative one, and for no digest.
    """
    resources = []
    for name in sorted(digests, key=lambda name: name.split("/")):
        digest = digests[name].lower()
        safe_path(name, "file of the model")
        if is_ignored(name):
            raise InvalidRequest(f"{shown(name)} is never part of a model; give another name.")
        if not _DIGEST.fullmatch(digest):
            raise InvalidRequest(
                f"The digest of {shown(name)} is {shown(digest)}; expected a SHA-256 in hex."
            )
        resources.append(_Resource(name, "sha256", digest))
    statement = _Statement(
        _STATEMENT_TYPE,
        [_Subject(model_name, {"sha256": _root_digest(resources)})],
        _PREDICATE_TYPE,
        _Predicate(_Serialization("files", "sha256", False, list(IGNORED)), resources),
    )
    return msgspec.json.encode(statement)


def digests_in(payload: bytes) -> dict[str, str]:
    """The files and their SHA-256 in a statement whose signature has been checked.

    Raises InvalidModel for all that the format does not allow, and for names that lead elsewhere:
    whoever signed may be a stranger.
    """
    try:
        statement = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"{SIGNATURE_FILE}: what is signed is no manifest: {error}.") from error
    predicate = statement.predicate
    kind = (statement.type_, statement.predicate_type, predicate.serialization.method)
    if kind != (_STATEMENT_TYPE, _PREDICATE_TYPE, "files"):
        raise InvalidModel(
            f"{SIGNATURE_FILE}: what is signed is {shown(statement.predicate_type)} by "
            f"{shown(predicate.serialization.method)}; expected {_PREDICATE_TYPE} by 'files'."
        )
    found: dict[str, str] = {}
    for resource in predicate.resources:
        _check(resource)
        if found.setdefault(resource.name, resource.digest) != resource.digest:
            raise InvalidModel(f"{SIGNATURE_FILE}: {shown(resource.name)} has two digests.")
    root = statement.subject[0].digest.get("sha256") if len(statement.subject) == 1 else None
    if root != _root_digest(predicate.resources):
        raise InvalidModel(f"{SIGNATURE_FILE}: the digest of the whole is not that of its files.")
    return found


def _check(resource: _Resource) -> None:
    if resource.algorithm != "sha256" or not _DIGEST.fullmatch(resource.digest):
        raise InvalidModel(
            f"{SIGNATURE_FILE}: the digest of {shown(resource.name)} is no SHA-256 in hex."
        )
    try:
        safe_path(resource.name, "file of the model")
    except InvalidRequest as error:
        raise InvalidModel(f"{SIGNATURE_FILE}: {error.message}") from error
    if is_ignored(resource.name):
        raise InvalidModel(f"{SIGNATURE_FILE}: {shown(resource.name)} is never part of a model.")


def _root_digest(resources: list[_Resource]) -> str:
    joined = b"".join(bytes.fromhex(resource.digest) for resource in resources)
    return hashlib.sha256(joined).hexdigest()
