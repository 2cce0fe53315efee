"""A folder tree on local disk that nothing leads out of.

Every path is walked one folder at a time by file descriptor, and no symbolic link is ever
followed, so swapping a folder for a link in the middle of a call gains nothing. The tree keeps
its own things under `.headrace`: files on their way in and on their way out, on the same file
system as everything else, so that a rename is atomic.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from headrace.artifacts.paths import RESERVED
from headrace.errors import HeadraceError, InvalidRequest, InvalidState, NotFound, Unavailable

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe that somebody put there must not wait for its other end.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WALKS: Final = 20


class Tree:
    """The folder `root`, made when it is missing. Safe to use from any thread or process.

    With `only_read` nothing is made there, and what writes must not be called.
    """

    def __init__(self, root: Path, *, only_read: bool = False) -> None:
        self.root = Path(os.path.abspath(root))
        self.own = self.root / RESERVED
        self.temp = self.own / "tmp"
        if only_read:
            return
        with translated("", "prepare the artifact root"):
            self.root.mkdir(parents=True, exist_ok=True)
            self.own.mkdir(mode=0o700, exist_ok=True)
            self.temp.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def folder(self, path: str, *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder `path`.

        With `create` it is made, and is on disk when the block has ended.
        """
        walked = [os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        made_in = []
        try:
            for name in path.split("/") if path else ():
                above = walked[-1]
                if create and _is_missing(name, above):
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=above)
                    made_in.append(above)
                walked.append(os.open(name, _DIRECTORY, dir_fd=above))
            yield walked[-1]
            # At the end, not on the way: a sync takes long, and who deletes may come between.
            for fd in made_in:
                os.fsync(fd)
        finally:
            for fd in walked:
                os.close(fd)

    def open_file(self, path: str) -> int:
        """A descriptor of the regular file `path`."""
        folder, _, name = path.rpartition("/")
        with self.folder(folder) as parent:
            fd = os.open(name, _FILE, dir_fd=parent)
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        raise FileNotFoundError(errno.ENOENT, "is not a file")

    def check_writable(self, path: str) -> None:
        """Raise when `path` can not become a file: it is a folder, or one above it is a file."""
        folder, _, name = path.rpartition("/")
        with suppress(FileNotFoundError), self.folder(folder) as parent:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a folder")

    def place(self, temp: Path, path: str) -> None:
        """Move the file `temp` to `path`, over an older file, durably."""
        folder, _, name = path.rpartition("/")
        for walk in range(_WALKS):
            try:
                with self.folder(folder, create=True) as parent:
                    os.rename(temp, name, dst_dir_fd=parent)
                    os.fsync(parent)
                return
            except FileNotFoundError:
                # A folder on the way was deleted during the walk: walk again.
                if walk == _WALKS - 1 or not temp.exists():
                    raise

    def remove(self, path: str) -> None:
        """Take the file or folder `path` out of the tree at once, then free its space."""
        folder, _, name = path.rpartition("/")
        with self.folder(folder) as parent:
            bin_ = self.new_temp()
            os.rename(name, bin_, src_dir_fd=parent)
            os.fsync(parent)
        discard(bin_)

    def new_temp(self) -> Path:
        """A name that nobody else uses, on the same file system as the tree."""
        self.temp.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.temp / secrets.token_hex(16)

    def sweep_temp(self, older_than: float) -> int:
        """Remove temporary files not written to for `older_than` seconds; how many."""
        return sweep(self.temp, older_than)


def _is_missing(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False


def sweep(folder: Path, older_than: float) -> int:
    """Remove the entries of `folder` not changed for `older_than` seconds; how many."""
    limit = time.time() - older_than
    removed = 0
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return 0
    for entry in entries:
        with suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_mtime < limit:
                discard(Path(entry.path))
                removed += 1
    return removed


def discard(path: Path) -> None:
    """Remove a file or a folder with all in it; links in it are removed, not followed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError:
        # Linux says EISDIR for a folder, others EPERM. What stays behind is swept later.
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn an OSError about `path` into the error that the caller of the store should see."""
    try:
        yield
    except OSError as error:
        raise translate(error, path, doing) from error


def translate(error: OSError, path: str, doing: str) -> HeadraceError:
    """The error that an OSError while `doing` something with `path` stands for."""
    code = error.errno or 0
    shown = f"'{path}'" if path else "the artifact root"
    for codes, family, text in _MEANINGS:
        if code in codes:
            return family(text.format(doing=doing, shown=shown, reason=os.strerror(code)))
    return HeadraceError(f"Cannot {doing} {shown}: {os.strerror(code)}.")


_MEANINGS: Final[tuple[tuple[set[int], type[HeadraceError], str], ...]] = (
    ({errno.ENOENT}, NotFound, "No such artifact: {shown}."),
    (
        {errno.EISDIR, errno.ENOTEMPTY},
        InvalidRequest,
        "Cannot {doing}: {shown} is a folder; expected a file.",
    ),
    (
        {errno.ENOTDIR, errno.ELOOP},
        InvalidRequest,
        "Cannot {doing}: {shown} leads through a file or a symbolic link; every name before the "
        "last must be a folder, and links are not followed.",
    ),
    (
        {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ},
        InvalidRequest,
        "Cannot {doing}: this file system does not take the name {shown}.",
    ),
    (
        {errno.EFBIG},
        InvalidRequest,
        "Cannot {doing}: {shown} is larger than this file system takes.",
    ),
    (
        {errno.EXDEV},
        InvalidState,
        "Cannot {doing}: {shown} lies on another file system than the artifact root; whoever runs "
        "the server must keep the root on one.",
    ),
    (
        {errno.EACCES, errno.EPERM, errno.EROFS},
        InvalidState,
        "Cannot {doing}: the server's account may not access {shown}; whoever runs the server must "
        "correct the permissions of the artifact root.",
    ),
    (
        {errno.ENOSPC, errno.EDQUOT},
        Unavailable,
        "Cannot {doing}: the disk of the artifact root is full.",
    ),
    (
        {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ESTALE},
        Unavailable,
        "Cannot {doing}: {reason}; try again.",
    ),
)
