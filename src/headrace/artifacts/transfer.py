"""Files and folders between local disk and any ArtifactStore."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from headrace.artifacts.base import ArtifactReader, ArtifactStore, Grant, Part
from headrace.artifacts.http import FileSlice, HttpArtifactStore, HttpReader, file_target
from headrace.artifacts.paths import join, safe_path
from headrace.errors import InvalidRequest, NotFound, Unavailable

T = TypeVar("T")

LARGE_FILE: Final = 500 * 1000 * 1000
"""Bytes from which a file travels in parts, several at once, where the server allows it."""
PART: Final = 32 << 20
RANGE: Final = 100 * 1000 * 1000
MAX_PARTS: Final = 10_000
AT_ONCE: Final = 4
_PIECE: Final = 1 << 20


def upload_file(store: ArtifactStore, source: Path, path: str, large: int = LARGE_FILE) -> str:
    """Write the local file `source` to `path`, over an older one; the SHA-256, in hex, of it.

    Raises NotFound when `source` is not there, InvalidRequest when it is a folder.
    """
    safe_path(path)
    try:
        size = source.stat().st_size
        if source.is_dir():
            raise InvalidRequest(f"'{source}' is a folder; expected a file.")
        if not isinstance(store, HttpArtifactStore):
            return _copy_in(store, source, path)
        if size >= large and store.info().multipart_uploads_enabled:
            return _upload_in_parts(store, source, path, size)
        whole = FileSlice(source, 0, size)
        whole.send(store.transport, file_target(path), {})
        return whole.sha256
    except FileNotFoundError:
        raise NotFound(f"There is no file '{source}'.") from None
    except PermissionError:
        raise InvalidRequest(f"The file '{source}' may not be read.") from None


def upload_folder(store: ArtifactStore, source: Path, path: str) -> dict[str, str]:
    """Write all files below the local folder `source` to the same names below `path`.

    Gives the SHA-256, in hex, of the bytes that were sent, by each file's name below `source`.
    Raises NotFound when there is no such folder. Empty folders leave no trace; links to files are
    followed.
    """
    if not source.is_dir():
        raise NotFound(f"There is no folder '{source}'.")
    files: list[tuple[Path, str]] = []
    for folder, _, names in os.walk(source):
        below = Path(folder).relative_to(source).as_posix()
        for name in sorted(names):
            inside = join("" if below == "." else below, name)
            safe_path(join(path, inside))
            files.append((Path(folder) / name, inside))
    digests: dict[str, str] = {}

    def upload(file: tuple[Path, str]) -> None:
        digests[file[1]] = upload_file(store, file[0], join(path, file[1]))

    at_once(upload, files)
    return digests


def download_file(store: ArtifactStore, path: str, target: Path, large: int = LARGE_FILE) -> None:
    """Write the file `path` to the local file `target`, which is replaced when all has come.

    Raises NotFound, InvalidRequest for a folder, Unavailable when the bytes are not those that
    the store has a digest of.
    """
    with store.read(path) as reader:
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            if (
                isinstance(store, HttpArtifactStore)
                and reader.size >= large
                and store.info().multipart_downloads_enabled
            ):
                reader.close()
                found = _download_in_ranges(store, path, temp, reader.size)
            else:
                found = _copy_out(reader, temp)
            if reader.sha256 and found != reader.sha256:
                raise Unavailable(f"'{path}' was damaged on its way; download it again.")
            os.replace(temp, target)
        finally:
            with suppress(FileNotFoundError):
                temp.unlink()


def download(store: ArtifactStore, path: str, folder: Path) -> Path:
    """Write the file or folder `path` below the local `folder`, under its last name; where.

    The root, "", is written into `folder` itself. Raises NotFound.
    """
    target = folder / os.path.basename(path) if path else folder
    download_to(store, path, target, folder=not path)
    return target


def download_to(store: ArtifactStore, path: str, target: Path, *, folder: bool = False) -> None:
    """Write the file or folder `path` to the local `target`.

    NotFound when there is nothing at `path`; with `folder`, which says that it is a folder, that
    makes an empty one.
    """
    files = list(walk(store, path))
    if not files and folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    if not files:
        download_file(store, path, target)
        return

    def fetch(name: str) -> None:
        download_file(store, join(path, name), target / name)

    at_once(fetch, files)


def walk(store: ArtifactStore, path: str) -> Iterator[str]:
    """The files below the folder `path`, relative to it; nothing for a file."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for entry in store.list(join(path, below)):
            # A server may name anything: folders without end are refused where a path is too long.
            name = join(below, safe_path(entry.path))
            if entry.is_dir:
                waiting.append(name)
            else:
                yield name


def at_once(work: Callable[[T], None], things: Sequence[T]) -> None:
    """Do `work` on all things, some at once. The first error stops what has not begun."""
    if len(things) < 2:
        for thing in things:
            work(thing)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(AT_ONCE, "headrace-transfer") as pool:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _copy_in(store: ArtifactStore, source: Path, path: str) -> str:
    with open(source, "rb") as file, store.write(path) as writer:
        while piece := file.read(_PIECE):
            writer.write(piece)
        return writer.commit().sha256


def _copy_out(reader: ArtifactReader, target: Path) -> str:
    digest = hashlib.sha256()
    with open(target, "xb") as file:
        for piece in reader.chunks():
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _upload_in_parts(store: HttpArtifactStore, source: Path, path: str, size: int) -> str:
    length = max(PART, -(-size // MAX_PARTS))
    starts = range(0, size, length)
    upload_id = store.create_upload(path, len(starts))
    done: dict[int, Part] = {}
    whole: list[str] = []

    def send(number: int) -> None:
        if not number:
            # The digest is of what lies here, whatever the server says of what has arrived.
            whole.append(_digest(source))
            return
        start = starts[number - 1]
        part = FileSlice(source, start, min(length, size - start))
        where = store.sign(Grant("PUT", path, upload_id, number), 0.0)
        etag = part.send(store.transport, where.url, where.headers)
        done[number] = Part(number, etag)

    try:
        at_once(send, range(len(starts) + 1))
        parts = [done[number] for number in sorted(done)]
        arrived = store.complete_upload(path, upload_id, parts).sha256
        if arrived and arrived != whole[0]:
            raise Unavailable(f"'{source}' was damaged on its way, or changed; send it again.")
        return whole[0]
    except BaseException:
        # The first error is the one to tell; an upload that stays is cleaned by the server.
        with suppress(Exception):
            store.abort_upload(path, upload_id)
        raise


def _digest(source: Path) -> str:
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_in_ranges(store: HttpArtifactStore, path: str, target: Path, size: int) -> str:
    where = store.sign(Grant("GET", path), 0.0)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)

    def fetch(start: int) -> None:
        stop = min(size, start + RANGE)
        window = (start, stop)
        with HttpReader(store.transport, path, where.url, where.headers, window) as part:
            for piece in part.chunks():
                os.pwrite(descriptor, piece, start)
                start += len(piece)

    try:
        os.truncate(descriptor, size)
        at_once(fetch, range(0, size, RANGE))
        digest = hashlib.sha256()
        os.lseek(descriptor, 0, os.SEEK_SET)
        while piece := os.read(descriptor, _PIECE):
            digest.update(piece)
        return digest.hexdigest()
    finally:
        os.close(descriptor)
