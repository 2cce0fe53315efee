"""A model's folder opened: its signature read, and every file that it lists checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from headrace.artifacts.tree import Tree
from headrace.errors import NotFound
from headrace.models.trust.covered import SIGNATURE_FILE
from headrace.models.trust.folder import CHANGED, WHOLE_PATH, VerifiedFolder, not_as_saved
from headrace.models.trust.hashing import digest_of, for_each, problem_of
from headrace.models.trust.keys import shown


def open_folder(path: Path, *, trust: bool = False) -> VerifiedFolder:
    """The model in the folder `path`, every signed file of which has been read and is right.

    A folder without `model.sig`, or signed in a way that is not checked here (a certificate, a
    Sigstore identity), is unsigned: what cannot run code may be read. `trust` is the caller's word
    that all in it may run; it does not excuse a changed byte.

    Raises NotFound when there is no such folder, and InvalidModel when a file that the signature
    lists is changed, missing or no regular file, or when the signature itself is not right.
    """
    if not path.is_dir():
        raise NotFound(f"There is no folder {shown(path, WHOLE_PATH)}; expected that of a model.")
    tree = Tree(path, only_read=True)
    bundle = _bundle(tree)
    if bundle is None:
        return VerifiedFolder(tree, is_vouched_for=trust)
    from headrace.models.trust.bundle import open_bundle
    from headrace.models.trust.manifest import digests_in
    from headrace.models.trust.signers import is_trusted

    payload, signer = open_bundle(bundle)
    if signer is None:
        return VerifiedFolder(tree, is_vouched_for=trust, is_foreign=True)
    digests = digests_in(payload)
    _check_all(tree, digests)
    is_known = trust or is_trusted(signer)
    return VerifiedFolder(tree, digests, signer, is_trusted=is_known, is_vouched_for=trust)


def _bundle(tree: Tree) -> bytes | None:
    """The content of model.sig; None if there is none."""
    try:
        fd = tree.open_file(SIGNATURE_FILE)
    except OSError as error:
        if not os.path.lexists(tree.root / SIGNATURE_FILE):
            return None
        raise not_as_saved(tree.root, [f"{SIGNATURE_FILE} {problem_of(error)}"]) from error
    from headrace.models.trust.bundle import MAX_BUNDLE_BYTES

    with open(fd, "rb") as file:
        size = os.fstat(fd).st_size
        if size > MAX_BUNDLE_BYTES:
            raise not_as_saved(
                tree.root, [f"{SIGNATURE_FILE} is larger than {MAX_BUNDLE_BYTES} bytes"]
            )
        return file.read(size)


def _check_all(tree: Tree, digests: Mapping[str, str]) -> None:
    """Raise InvalidModel unless every file is there and has the digest it should have."""

    def problem(name: str) -> str | None:
        try:
            is_right = digest_of(tree, name) == digests[name]
        except OSError as error:
            return f"{shown(name)} {problem_of(error)}"
        return None if is_right else f"{shown(name)} {CHANGED}"

    found = [text for text in for_each(tree, list(digests), problem) if text]
    if found:
        raise not_as_saved(tree.root, found)
