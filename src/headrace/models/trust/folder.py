"""A model's folder as the loaders see it: each byte checked, and code only from whom one trusts.

`open_folder` has checked every file that the signature lists. What loading reads later is checked
again as it is handed out, so that a file swapped after the check is found: `read` and `code` give
the very bytes whose digest was right, `code_path` a private copy that was hashed while it was made.
Files that the signature does not list are not part of the model, and are never handed out.

Nothing here reads signatures, so that Python's standard library is enough: a worker that was told
what is signed (`models.handover`) has such a folder too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from headrace.artifacts.paths import safe_path
from headrace.artifacts.tree import Tree
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.trust.copies import PrivateCopies
from headrace.models.trust.covered import is_ignored
from headrace.models.trust.hashing import Listing, listing_of, problem_of
from headrace.models.trust.keys import PublicKey, shown

_WHOLE: Final = ("", ".")
WHOLE_PATH: Final = 4096
"""Letters that a message shows of a folder's path: all of it."""
_NAMED_PROBLEMS: Final = 5
CHANGED: Final = "has been changed since the model was signed"
_NOT_SIGNED: Final = "is not among the files that are signed"


class VerifiedFolder:
    """The files of a model, given out by what they can do; made by `open_folder`.

    Names are relative, with `/`. Every method raises InvalidModel for a name that leads out of the
    folder, is not there, is no regular file, is not listed by the signature, or whose bytes are not
    those that were signed. Safe to use from any thread.

    Attributes:
        path: the folder. Load nothing from it by yourself.
        signer: the fingerprint of the key it is signed with; None where it is not signed.
        signer_key: that key.
        digests: the SHA-256 in hex of each signed file; None where nothing is signed.
        is_foreign: whether there is a signature, of a kind that is not checked here.
        is_trusted: whether what is in it may run code: its signer is trusted, or `trust` was given.
        is_vouched_for: whether the caller gave `trust`, which goes for more than what was signed.
    """

    def __init__(
        self,
        tree: Tree,
        digests: Mapping[str, str] | None = None,
        signer: PublicKey | None = None,
        *,
        is_trusted: bool = False,
        is_vouched_for: bool = False,
        is_foreign: bool = False,
    ) -> None:
        self.path = tree.root
        self.signer = signer.fingerprint if signer else None
        self.is_vouched_for = is_vouched_for
        self.is_trusted = is_trusted or is_vouched_for
        self.signer_key = signer
        self.digests = digests
        self.is_foreign = is_foreign
        self._tree = tree
        self._copies = PrivateCopies()
        self._read: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The files of the model, sorted: those that are signed, else all regular files there."""
        if self.digests is not None:
            return sorted(self.digests)
        return self._listing("").files

    def has(self, name: str) -> bool:
        """Whether the model has such a file, or a folder with files in it."""
        try:
            return bool(self._files_of(name))
        except InvalidModel:
            return False

    def read(self, name: str, limit: int | None = None) -> bytes:
        """A file that cannot run code. Raises InvalidModel too when it has over `limit` bytes.

        Where nothing is signed, a file is the one that was read first: what is judged by one
        reading and used by the next is the same.
        """
        self._check_name(name)
        if self.digests is not None and name not in self.digests:
            raise self._not_signed(name)
        data = self._bytes(name, limit)
        digest = hashlib.sha256(data).hexdigest()
        if self.digests is None:
            if self._read.setdefault(name, digest) != digest:
                raise self._wrong(name, "was changed while the model was loaded")
        elif digest != self.digests[name]:
            raise self._wrong(name, CHANGED)
        return data

    def file(self, name: str) -> Path:
        """A (large) file or folder that cannot run code, where it lies.

        It was checked when the folder was opened, and can change since: whoever judges by its
        content whether it can run code takes `copy` (or `read`), else the library might read
        another file than the one that was judged. A folder has nothing in it but signed files.
        """
        names = self._files_of(name)
        if names != [name]:
            self._check_listing("" if name in _WHOLE else name, names)
        for each in names:
            try:
                os.close(self._tree.open_file(each))
            except OSError as error:
                raise self._wrong(each, problem_of(error)) from error
        return self.path if name in _WHOLE else self.path / name

    def copy(self, name: str, *, lasting: bool = False) -> Path:
        """A private copy (0700) of a file or folder, which nobody changes between check and use.

        What is signed is checked while it is copied, and nothing else comes along. The copy lives
        as long as this object, or as the process if `lasting`; it may be written to.
        """
        names = self._files_of(name)
        if self.digests is None and names != [name]:
            self._check_listing("" if name in _WHOLE else name, names)
        digests = self._read if self.digests is None else self.digests
        wanted = {each: digests.get(each) for each in names}
        home = self._copies.copy(self._tree, wanted, lasting=lasting)
        return home if name in _WHOLE else home / name

    def code(self, name: str, why: str, limit: int | None = None) -> bytes:
        """A file that may run code when it is loaded, `why` in a few words ("a pickle").

        Raises NotTrusted unless the model is trusted.
        """
        data = self.read(name, limit)
        self.require_trust(name, why)
        return data

    def code_path(self, name: str, why: str, *, lasting: bool = False) -> Path:
        """A file or folder that a library must open by itself and that may run code.

        What is signed is given as a `copy`; keep this object as long as the library may read, or
        say `lasting` for modules that are imported later. What is not signed, but loaded on the
        caller's word, is given where it lies. Raises NotTrusted unless the model is trusted.
        """
        self._files_of(name)
        self.require_trust(name, why)
        return self.file(name) if self.digests is None else self.copy(name, lasting=lasting)

    def require_trust(self, what: str, why: str) -> None:
        """Raise NotTrusted unless the model is trusted: `what` runs code because it is `why`.

        The error says who signed, and both ways out.
        """
        if self.is_trusted:
            return
        folder = shown(self.path, WHOLE_PATH)
        begin = f"Loading this model would run code: {shown(what)} is {why}, and "
        if self.signer_key is None:
            signed = "its signature is of a kind that Headrace does not check"
            reason = signed if self.is_foreign else "nobody has signed the model"
            raise NotTrusted(
                f"{begin}{reason}. If you know where {folder} comes from, load it with trust=True "
                "(on the command line: --trust), or sign it with your own key: headrace trust sign "
                f"{folder}. (Models signed by others load after: headrace trust add NAME KEY.)"
            )
        raise NotTrusted(
            f"{begin}it is signed by {self.signer}, whom you do not trust. If that is the key of "
            "somebody you know (headrace trust show prints theirs), trust it with: headrace trust "
            f"add NAME {self.signer_key.text}; or load it with trust=True "
            f"(on the command line: --trust). It lies in {folder}."
        )

    def unsigned_files(self) -> list[str]:
        """What lies in the folder but is not signed (all of it, where nothing is), sorted."""
        files, others = self._listing("")
        return sorted({*files, *others} - set(self.digests or ()))

    def close(self) -> None:
        """Remove the copies that `code_path` made, save lasting ones."""
        self._copies.close()

    def _check_name(self, name: str) -> None:
        """Raise unless `name` stays in the folder and can be part of a model."""
        try:
            safe_path(name, "file of the model")
        except InvalidRequest as error:
            raise InvalidModel(error.message) from error
        if is_ignored(name):
            raise self._wrong(name, "is never part of a model")

    def _files_of(self, name: str) -> list[str]:
        """The file `name`, or the files in the folder `name`."""
        if name not in _WHOLE:
            self._check_name(name)
        if self.digests is None:
            found = self._on_disk(name)
        elif name in self.digests:
            found = [name]
        else:
            above = "" if name in _WHOLE else f"{name}/"
            found = sorted(each for each in self.digests if each.startswith(above))
        if not found:
            raise self._not_signed(name)
        return found

    def _not_signed(self, name: str) -> InvalidModel:
        is_there = self.digests is not None and os.path.lexists(self.path / name)
        return self._wrong(name, _NOT_SIGNED if is_there else "is missing")

    def _on_disk(self, name: str) -> list[str]:
        """As `_files_of`, in a folder that is not signed."""
        if name not in _WHOLE:
            try:
                os.close(self._tree.open_file(name))
                return [name]
            except IsADirectoryError:
                pass
            except OSError as error:
                raise self._wrong(name, problem_of(error)) from error
        return self._listing("" if name in _WHOLE else name).files

    def _check_listing(self, below: str, names: list[str]) -> None:
        """Raise unless the folder `below` holds the files `names` and nothing else."""
        files, others = self._listing(below)
        if others:
            raise self._wrong(others[0], "is a symbolic link, a pipe or a device")
        for extra in sorted(set(files) - set(names)):
            raise self._wrong(extra, _NOT_SIGNED)

    def _listing(self, below: str) -> Listing:
        try:
            return listing_of(self.path, below)
        except OSError as error:
            raise self._wrong(below or ".", problem_of(error)) from error

    def _bytes(self, name: str, limit: int | None) -> bytes:
        try:
            with open(self._tree.open_file(name), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if limit is not None and size > limit:
                    raise self._wrong(name, f"has {size} bytes, at most {limit} are read")
                return file.read(size)
        except OSError as error:
            raise self._wrong(name, problem_of(error)) from error

    def _wrong(self, name: str, problem: str) -> InvalidModel:
        return not_as_saved(
            self.path, [f"{shown(name)} {problem}"], is_signed=self.signer_key is not None
        )


def not_as_saved(folder: Path, problems: Sequence[str], *, is_signed: bool = True) -> InvalidModel:
    """The error for a model whose files are not what they should be."""
    listed = "; ".join(problems[:_NAMED_PROBLEMS])
    if len(problems) > _NAMED_PROBLEMS:
        listed += f"; and {len(problems) - _NAMED_PROBLEMS} more files"
    way_out = (
        " Fetch the model again; or, if you made the change yourself, sign it anew: "
        f"headrace trust sign {shown(folder, WHOLE_PATH)}"
    )
    return InvalidModel(
        f"The model in {shown(folder, WHOLE_PATH)} is not what was saved: {listed}."
        f"{way_out if is_signed else ''}"
    )
