"""Files from a source to a store: those that are there already stay, the others stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from headrace.artifacts.base import ReadableArtifacts
from headrace.artifacts.open import ArtifactPlace
from headrace.artifacts.paths import join
from headrace.sync.outcome import Outcome
from headrace.sync.source import Files

Listing = Sequence[tuple[str, int]]
"""Names below a folder, with their sizes in bytes."""


def listing(files: Files | ArtifactPlace) -> Listing:
    """All files below a folder, by name."""
    return sorted(_below(files.store, files.path, ""))


def _below(store: ReadableArtifacts, root: str, folder: str) -> Iterator[tuple[str, int]]:
    for entry in store.list(join(root, folder)):
        name = join(folder, entry.path)
        if entry.is_dir:
            yield from _below(store, root, name)
        else:
            yield name, entry.file_size or 0


def copy_files(
    found: Listing,
    source: Files,
    place: ArtifactPlace,
    of: str,
    outcome: Outcome,
    at_once: Executor,
) -> bool:
    """Copy the files in `found`; whether all of them are there now.

    `of` names what they belong to in problems. A file of the same size, and of the same digest
    where both sides know it, is passed over.
    """
    if not found:
        return True
    there = dict(listing(place))

    def copy(file: tuple[str, int]) -> bool:
        name, size = file
        done = False
        with outcome.going_on(f"the file '{name}' of {of}"):
            if there.get(name) != size or not _same(source, place, name):
                outcome.sent(files=1, file_bytes=_copy_one(source, place, name))
            done = True
        return done

    return all(list(at_once.map(copy, found)))


def _same(source: Files, place: ArtifactPlace, name: str) -> bool:
    """Whether two files of one size are the same, as far as their digests are known."""
    with source.store.read(join(source.path, name)) as theirs:
        if theirs.sha256 is None:
            return True
        with place.store.read(join(place.path, name)) as ours:
            return ours.sha256 is None or ours.sha256 == theirs.sha256


def _copy_one(source: Files, place: ArtifactPlace, name: str) -> int:
    with source.store.read(join(source.path, name)) as reader:
        with place.store.write(join(place.path, name)) as writer:
            for piece in reader.chunks():
                writer.write(piece)
            return writer.commit(reader.sha256).size
