"""Files from a source to a store: those that are there already stay, the others stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

from headrace.artifacts.base import ArtifactStore, ReadableArtifacts
from headrace.artifacts.http import HttpArtifactStore
from headrace.artifacts.open import ArtifactPlace
from headrace.artifacts.paths import join
from headrace.artifacts.read_only import ReadOnlyFolder
from headrace.artifacts.transfer import upload_file
from headrace.sync import marks
from headrace.sync.destination import Destination
from headrace.sync.outcome import Outcome
from headrace.sync.source import Files, Source

Listing = Sequence[tuple[str, int]]
"""Names below a folder, with their sizes in bytes."""


def listing(files: Files | ArtifactPlace) -> Listing:
    """All files below a folder, by name."""
    return sorted(_below(files.store, files.path))


def _below(store: ReadableArtifacts, root: str) -> Iterator[tuple[str, int]]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in store.list(join(root, folder)):
            # A server may name anything: folders without end are refused as too long a path.
            name = join(folder, entry.path)
            if entry.is_dir and entry.path:
                waiting.append(name)
            elif not entry.is_dir:
                yield name, entry.file_size or 0


class FileCopier:
    """Copies the files of runs and logged models, a few at once."""

    def __init__(
        self, source: Source, destination: Destination, outcome: Outcome, at_once: Executor
    ) -> None:
        self._source = source
        self._destination = destination
        self._outcome = outcome
        self._at_once = at_once

    def copy(self, uri: str, to: str, of: str) -> str | None:
        """Copy the files behind one artifact URI to another; their digest, None if some miss.

        `of` names what they belong to in problems.
        """
        what = f"the files of {of}"
        files = self._outcome.attempt(what, lambda: self._source.artifacts(uri))
        if files is None:
            self._outcome.problem(what, f"'{uri}' cannot be reached from here.")
            return None
        return self._outcome.attempt(what, lambda: self._copy_all(files, to, of))

    def _copy_all(self, files: Files, to: str, of: str) -> str | None:
        found = listing(files)
        if found:
            place = self._destination.place(to)
            there = dict(listing(place))

            def copy(file: tuple[str, int]) -> bool:
                return self._copy_unless_there(files, place, file[0], there.get(file[0]) == file[1])

            def attempt(file: tuple[str, int]) -> bool | None:
                return self._outcome.attempt(f"the file '{file[0]}' of {of}", partial(copy, file))

            if not all(list(self._at_once.map(attempt, found))):
                return None
        return marks.files_state(found)

    def _copy_unless_there(
        self, files: Files, place: ArtifactPlace, name: str, same_size: bool
    ) -> bool:
        """Pass over a file of the same size, and the same digest where both sides know it."""
        if not same_size or not _same(files, place, name):
            self._outcome.sent(files=1, file_bytes=_copy_one(files, place, name))
        return True


def _same(source: Files, place: ArtifactPlace, name: str) -> bool:
    """Whether two files of one size are the same, as far as their digests are known."""
    with source.store.read(join(source.path, name)) as theirs:
        if theirs.sha256 is None:
            return True
        with place.store.read(join(place.path, name)) as ours:
            return ours.sha256 is None or ours.sha256 == theirs.sha256


def _copy_one(files: Files, place: ArtifactPlace, name: str) -> int:
    """Copy a file; its size. From a folder to a server it goes as the SDK sends files."""
    path, to = join(files.path, name), join(place.path, name)
    if isinstance(files.store, ReadOnlyFolder) and isinstance(place.store, HttpArtifactStore):
        local = files.store.local_file(path)
        upload_file(place.store, local, to)
        return local.stat().st_size
    return _stream(files.store, path, place.store, to)


def _stream(store: ReadableArtifacts, path: str, to_store: ArtifactStore, to: str) -> int:
    with store.read(path) as reader, to_store.write(to) as writer:
        for piece in reader.chunks():
            writer.write(piece)
        return writer.commit(reader.sha256).size
