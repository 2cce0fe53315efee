"""Digests of many files at once, with memory that does not depend on their size.

A file is opened through `Tree`, which follows no symbolic link and waits for no pipe. SHA-256 and
reading give up the interpreter's lock, so files are read side by side as soon as there is enough to
read; one large file runs at the speed of one processor (or of the disk).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from headrace.artifacts.tree import Tree
from headrace.models.trust.covered import is_ignored

T = TypeVar("T")

PIECE: Final = 1 << 20
_WORTH_THREADS: Final = 4 << 20
_MAX_THREADS: Final = 8
_PROBLEMS: Final[dict[tuple[int | None, str | None], str]] = {
    (errno.ENOENT, "is not a file"): "is no regular file",  # Tree's own words
    (errno.ENOENT, None): "is missing",
    (errno.EISDIR, None): "is a folder",
    (errno.ENXIO, None): "is no regular file",
    (errno.ELOOP, None): "is a symbolic link",
    (errno.ENOTDIR, None): "leads through a symbolic link or a file",
}


def digest_of(tree: Tree, name: str) -> str:
    """The SHA-256 of one file, in hex. Raises OSError for what is no regular file."""
    fd = tree.open_file(name)
    with open(fd, "rb", buffering=0) as file:
        size = os.fstat(fd).st_size
        if size > PIECE and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return hashlib.file_digest(file, "sha256").hexdigest()


def for_each(tree: Tree, names: Sequence[str], work: Callable[[str], T]) -> list[T]:
    """`work` done for every name, in threads where the files are large; results in order."""
    if len(names) < 2 or _total_size(tree, names) < _WORTH_THREADS:
        return [work(name) for name in names]
    from concurrent.futures import ThreadPoolExecutor

    threads = min(_MAX_THREADS, max(2, os.cpu_count() or 2), len(names))
    with ThreadPoolExecutor(threads, "headrace-digest") as pool:
        return list(pool.map(work, names))


def problem_of(error: OSError) -> str:
    """What an OSError says about a file of a model."""
    return _PROBLEMS.get((error.errno, error.strerror)) or _PROBLEMS.get(
        (error.errno, None), f"cannot be read: {error.strerror}"
    )


class Listing(NamedTuple):
    """What lies in a folder: regular files, and all else that is no folder, by relative path."""

    files: list[str]
    others: list[str]


def listing_of(folder: Path, below: str = "") -> Listing:
    """All that lies in `folder`, or in the folder `below` in it, save what is never signed.

    Symbolic links are named among the others, not followed. Raises OSError.
    """
    found = Listing([], [])
    waiting = [below]
    while waiting:
        above = waiting.pop()
        with os.scandir(folder / above) as entries:
            for entry in entries:
                name = f"{above}/{entry.name}" if above else entry.name
                if is_ignored(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif entry.is_file(follow_symlinks=False):
                    found.files.append(name)
                else:
                    found.others.append(name)
    found.files.sort()
    found.others.sort()
    return found


def _total_size(tree: Tree, names: Sequence[str]) -> int:
    total = 0
    for name in names:
        try:
            total += os.lstat(tree.root / name).st_size
        except OSError:
            continue  # said when it is opened
        if total >= _WORTH_THREADS:
            break
    return total
