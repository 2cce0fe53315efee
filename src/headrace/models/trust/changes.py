"""Files of a saved model that are changed, and the signature over it made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.trust.bundle import open_bundle
from headrace.models.trust.covered import SIGNATURE_FILE
from headrace.models.trust.manifest import digests_in
from headrace.models.trust.signers import is_trusted
from headrace.models.trust.signing import signature_over

Reads = Callable[[str], bytes | None]
"""Gives a file of a model; None where there is none of this name."""


def changed_files(
    read: Reads,
    changes: Mapping[str, Callable[[bytes], bytes]],
    *,
    name: str = "model",
    trust: bool = False,
) -> dict[str, bytes]:
    """The new content of those files that are there, and of the signature over all.

    A model that is not signed stays so. Raises InvalidModel where a file is not what was signed;
    NotTrusted where the signer is nobody who is trusted, because signing anew would vouch for all
    of the model, unless with `trust`; InvalidRequest where it cannot be signed.
    """
    signed = _signed_digests(read, trust)
    written: dict[str, bytes] = {}
    for file, change in changes.items():
        data = read(file)
        if data is None:
            continue
        if signed is not None and signed.get(file) != hashlib.sha256(data).hexdigest():
            raise InvalidModel(f"{file} has been changed since the model was signed.")
        written[file] = change(data)
    return {**written, **_signature(name, signed, written)} if written else {}


def _signed_digests(read: Reads, trust: bool) -> dict[str, str] | None:
    """What the signature says of the model's files; None where it has no signature of ours."""
    bundle = read(SIGNATURE_FILE)
    if bundle is None:
        return None
    payload, signer = open_bundle(bundle)
    if signer is None:
        raise InvalidRequest(
            f"The model's {SIGNATURE_FILE} is of a kind that is not checked here, and would not "
            "fit the changed files. Copy the model, remove it there, and change the copy."
        )
    if not trust and not is_trusted(signer):
        raise NotTrusted(
            f"The model is signed by {signer.fingerprint}, whom you do not trust; with changed "
            "files your signature would stand for all of it. Trust the signer (headrace "
            f"trust add NAME {signer.text}), or say --trust (trust=True) to sign it yourself."
        )
    return digests_in(payload)


def _signature(
    name: str, signed: dict[str, str] | None, written: Mapping[str, bytes]
) -> dict[str, bytes]:
    if signed is None:
        return {}
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in written.items()}
    bundle = signature_over(name, {**signed, **digests})
    if bundle is None:
        raise InvalidRequest("Without a key of yours the model cannot be signed anew.")
    return {SIGNATURE_FILE: bundle}
