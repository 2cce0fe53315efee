"""Private copies of a model's files, checked while they are made.

A library that opens files by itself would read them again after the check. It gets a copy in a
temporary folder that only this user may enter, of bytes that were hashed on their way into it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.artifacts.tree import Tree
from headrace.errors import InvalidModel
from headrace.models.trust.hashing import PIECE, for_each, problem_of
from headrace.models.trust.keys import shown


class PrivateCopies:
    """The copies of one model. They go when it is closed or forgotten, or the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cleanups: list[weakref.finalize[[str, int], Any]] = []

    def copy(self, tree: Tree, digests: Mapping[str, str | None], *, lasting: bool) -> Path:
        """A new folder with the files that `digests` names, each with its digest where it has one.

        Raises InvalidModel, and leaves nothing, when one has not: it was swapped after the check.
        """
        home = tempfile.mkdtemp(prefix="headrace-model-")
        # A forked child that ends must not take away what its parent still reads.
        owner = weakref.finalize(_PROCESS if lasting else self, _remove, home, os.getpid())
        try:
            for folder in {os.path.dirname(name) for name in digests}:
                os.makedirs(os.path.join(home, folder), mode=0o700, exist_ok=True)
            for_each(tree, list(digests), lambda name: _copy(tree, name, digests[name], home))
        except BaseException:
            owner()
            raise
        if not lasting:
            with self._lock:
                self._cleanups.append(owner)
        return Path(home)

    def close(self) -> None:
        """Remove all copies but the lasting ones."""
        with self._lock:
            for cleanup in self._cleanups:
                cleanup()
            self._cleanups.clear()


class _Process:
    """Lives as long as the process."""


_PROCESS = _Process()


def _remove(home: str, made_by: int) -> None:
    if os.getpid() == made_by:
        shutil.rmtree(home, ignore_errors=True)


def _copy(tree: Tree, name: str, expected: str | None, home: str) -> None:
    digest = hashlib.sha256()
    piece = memoryview(bytearray(PIECE))
    try:
        source = tree.open_file(name)
    except OSError as error:
        raise InvalidModel(f"{shown(name)} {problem_of(error)}, while it was loaded.") from error
    # An error of the copy's disk (full, say) is not the model's fault: it goes up as it is.
    with (
        open(source, "rb", buffering=0) as reading,
        open(os.path.join(home, name), "xb", buffering=0) as writing,
    ):
        while size := reading.readinto(piece):
            digest.update(piece[:size])
            rest = piece[:size]
            while rest:
                rest = rest[writing.write(rest) :]
    if expected is not None and digest.hexdigest() != expected:
        raise InvalidModel(
            f"{shown(name)} was changed while the model was loaded; nothing of it was run."
        )
