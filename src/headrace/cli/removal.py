"""What `headrace db gc` does: choosing what may go, and removing it with its files.

The database's side, and why a removal may be cut short at any moment, is in `store.sql.gc`. Here
the files join in: something is taken out of the database first, then its files go, then its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from headrace.artifacts.base import ArtifactStore
from headrace.cli.progress import Report
from headrace.errors import InvalidRequest, NotFound
from headrace.server.artifact_locations import store_path
from headrace.store.sql import gc
from headrace.store.sql.upkeep import Upkeep


@dataclass(frozen=True)
class Outcome:
    """How much was removed: things by kind, and the rows that belonged to them."""

    removed: dict[str, int]
    rows: int


def choose(
    upkeep: Upkeep, artifacts: ArtifactStore, before: int, *, leave_files_outside: bool
) -> list[gc.Deleted]:
    """What was deleted up to `before` (ms since 1970), with the reason where it has to stay.

    Something whose files lie where we cannot delete them stays, so that it is not forgotten
    where they are; unless they are to be left there.
    """
    found = gc.find_deleted(upkeep, before)
    if leave_files_outside:
        return found
    chosen = []
    for each in found:
        if not each.kept_for and each.kind is not gc.Kind.EXPERIMENT:
            try:
                store_path(artifacts, each.artifact_uri)
            except InvalidRequest:
                each = replace(each, kept_for=f"its files at {each.artifact_uri}")
        chosen.append(each)
    staying = {each.experiment for each in chosen if each.kept_for}
    return [
        replace(each, kept_for=each.kept_for or "runs or models in it that stay")
        if each.kind is gc.Kind.EXPERIMENT and each.experiment in staying
        else each
        for each in chosen
    ]


def size_of(artifacts: ArtifactStore, each: gc.Deleted) -> int:
    """Bytes in the files of a run or model; 0 where they are not ours to count."""
    folder = _own_folder(artifacts, each.kind, each.public_id, each.artifact_uri)
    return _tree_size(artifacts, folder) if folder else 0


def remove(
    upkeep: Upkeep,
    artifacts: ArtifactStore,
    chosen: Sequence[gc.Deleted],
    before: int,
    report: Report,
) -> Outcome:
    """Remove `chosen`, and what earlier removals that were cut short have left."""
    going = [each for each in chosen if not each.kept_for]
    left = gc.unfinished(upkeep)
    removed: dict[str, int] = {}
    rows = 0
    for batch in _taken_out(upkeep, left, going, before):
        for removal in batch:
            _remove_files(artifacts, removal)
        rows += gc.clear(upkeep, batch)
        for removal in batch:
            removed[removal.kind.value] = removed.get(removal.kind.value, 0) + 1
        report(sum(removed.values()), len(going) + len(left))
    return Outcome(removed, rows)


def _taken_out(
    upkeep: Upkeep, left: Sequence[gc.Removal], going: Sequence[gc.Deleted], before: int
) -> Iterator[Sequence[gc.Removal]]:
    """What is to be cleared away, a batch at a time: the old first, contents before containers."""
    for start in range(0, len(left), gc.BATCH):
        yield left[start : start + gc.BATCH]
    for kind in gc.Kind:
        of_kind = [each for each in going if each.kind is kind]
        for start in range(0, len(of_kind), gc.BATCH):
            yield gc.take_out(upkeep, of_kind[start : start + gc.BATCH], before)


def _remove_files(artifacts: ArtifactStore, removal: gc.Removal) -> None:
    folder = _own_folder(artifacts, removal.kind, removal.public_id, removal.artifact_uri)
    if folder:
        # It may never have had files, or an earlier removal was cut short behind this line.
        with suppress(NotFound):
            artifacts.delete(folder)


def _own_folder(
    artifacts: ArtifactStore, kind: gc.Kind, public_id: str, artifact_uri: str
) -> str | None:
    """The folder that holds the files of this thing and nothing else; None if that isn't ours.

    The folder of an experiment may have been chosen by its user and hold anything: it goes only
    if it has the name that we give, and nothing is left in it.
    """
    try:
        path = store_path(artifacts, artifact_uri)
    except InvalidRequest:
        return None
    parent, _, name = path.rpartition("/")
    if kind is gc.Kind.EXPERIMENT:
        empty = name == public_id and not _tree_size(artifacts, path, default=1)
        return path if empty else None
    if name == "artifacts" and parent.rpartition("/")[2] == public_id:
        return parent
    return path or None


def _tree_size(artifacts: ArtifactStore, folder: str, default: int = 0) -> int:
    """Bytes below a folder, counting each file as `default` bytes at least."""
    total = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for info in artifacts.list(here):
            if info.is_dir:
                waiting.append(f"{here}/{info.path}")
            else:
                total += max(info.file_size or 0, default)
    return total
