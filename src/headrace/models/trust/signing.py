"""Signing the files of a model with the user's own key."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from headrace.artifacts.tree import Tree
from headrace.errors import InvalidRequest, InvalidState, NotFound
from headrace.models.trust.bundle import sign
from headrace.models.trust.covered import SIGNATURE_FILE
from headrace.models.trust.hashing import digest_of, for_each, listing_of, problem_of
from headrace.models.trust.keys import shown
from headrace.models.trust.manifest import statement_of
from headrace.models.trust.own_key import SigningKey, replace_file, signing_key

_log = logging.getLogger(__name__)


def sign_folder(
    path: Path, digests: Mapping[str, str] | None = None, *, name: str | None = None
) -> bool:
    """Sign all files of the folder `path` as they are now; the signature goes into `model.sig`.

    The signature calls the model `name`, else as the folder is called; that is not checked later.
    `digests` (relative path to SHA-256 in hex) of files whose bytes the caller has hashed while
    writing them are taken as they are. The file is replaced at once: a reader sees the old
    signature or the new one. Where the user's key can neither be read nor made (a home that cannot
    be written), the model stays unsigned with a warning that says what to do, and this is False: a
    training that has ended shall not lose its model to that.

    Raises InvalidRequest for a symbolic link, a pipe or another thing that cannot be signed, for a
    name that MLflow's artifacts cannot have, for a digest of a file that is not there, and for a
    HEADRACE_SIGNING_KEY that is no key.
    """
    called = name or Path(os.path.abspath(path)).name or "model"
    key = _key_or_warning(called)
    if key is None:
        return False
    bundle = sign(statement_of(called, digests_of_folder(path, digests or {})), key)
    try:
        replace_file(path / SIGNATURE_FILE, bundle, 0o666)
    except OSError as error:
        raise InvalidRequest(
            f"{shown(path / SIGNATURE_FILE)} cannot be written: {error.strerror}; sign a copy "
            "of the folder that you may write to."
        ) from error
    return True


def signature_over(name: str, digests: Mapping[str, str]) -> bytes | None:
    """The content of `model.sig` for a model `name` with these files, wherever they lie.

    None, with a warning, where the user's key can neither be read nor made; see sign_folder.
    """
    key = _key_or_warning(name)
    return sign(statement_of(name, digests), key) if key else None


def digests_of_folder(path: Path, known: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of every file in a folder that is to be signed; `known` ones are not computed."""
    tree = Tree(path, only_read=True)
    try:
        files, others = listing_of(tree.root)
    except FileNotFoundError as error:
        raise NotFound(f"There is no folder {shown(path)} to sign.") from error
    except NotADirectoryError as error:
        raise InvalidRequest(f"{shown(path)} is a file; expected a model's folder.") from error
    except OSError as error:
        raise InvalidRequest(f"{shown(path)} cannot be listed: {error.strerror}.") from error
    if others:
        raise InvalidRequest(
            f"{shown(others[0])} in {shown(path)} is a symbolic link, a pipe or a device, "
            "which a signature cannot cover; put the file itself there."
        )
    absent = known.keys() - set(files)
    if absent:
        raise InvalidRequest(f"{shown(min(absent))} is to be signed, but is not in the folder.")

    def digest(name: str) -> str:
        try:
            return known.get(name) or digest_of(tree, name)
        except OSError as error:
            raise InvalidRequest(
                f"{shown(name)} {problem_of(error)}; nothing was signed."
            ) from error

    return dict(zip(files, for_each(tree, files, digest), strict=True))


def _key_or_warning(name: str) -> SigningKey | None:
    try:
        return signing_key()
    except InvalidState as error:
        _log.warning("The model '%s' is not signed. %s", name, error.message)
        return None
