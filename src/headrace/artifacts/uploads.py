"""Uploads in parts on local disk, parallel and resumable.

An upload is a folder `.headrace/uploads/<id>` with `upload.json` and one file for each part that
has arrived, named after its number and digest: `00003-<sha256>`. A part appears by a rename when
it is on disk, so sending it again, even twice at once, is harmless: the same bytes give the same
name, and other bytes another. Completing looks for exactly the digests that the client names.
`<id>.done` remembers a completed upload, so that a client that lost the answer may ask again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from headrace.artifacts.base import Part, StoredFile
from headrace.artifacts.tree import Tree, discard, sweep
from headrace.errors import InvalidRequest, NotFound

MAX_PARTS: Final = 10_000
_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_PART_NAME: Final = re.compile(r"(\d{5})-([0-9a-f]{64})")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COPY: Final = 8 << 20

Join = Callable[[str, Callable[[int], str]], StoredFile]


class _Upload(Struct, frozen=True):
    path: str
    num_parts: int


class _Done(Struct, frozen=True):
    path: str
    digests: list[str]
    stored: StoredFile


class LocalUploads:
    """The uploads under way in one artifact root. Safe to use from any thread or process."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folder = tree.own / "uploads"

    def create(self, path: str, num_parts: int) -> str:
        """Begin an upload; its id."""
        if not 1 <= num_parts <= MAX_PARTS:
            raise InvalidRequest(
                f"Invalid value {num_parts} for 'num_parts': expected 1 to {MAX_PARTS}."
            )
        upload_id = secrets.token_hex(16)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made under another name first: an upload is there with its description or not at all.
        fresh = self._tree.new_temp()
        fresh.mkdir(mode=0o700)
        _write_durably(fresh / "upload.json", msgspec.json.encode(_Upload(path, num_parts)))
        _sync_folder(fresh)
        os.rename(fresh, self._folder / upload_id)
        _sync_folder(self._folder)
        return upload_id

    def part_place(
        self, path: str, upload_id: str, part_number: int
    ) -> Callable[[str, Path], None]:
        """What moves a finished part to its place. Raises when it cannot belong there."""
        upload = self._upload(path, upload_id)
        if not 1 <= part_number <= upload.num_parts:
            raise InvalidRequest(
                f"Invalid value {part_number} for 'part_number': this upload has parts 1 to "
                f"{upload.num_parts}."
            )

        def place(digest: str, temp: Path) -> None:
            folder = self._folder / upload_id
            try:
                os.rename(temp, folder / _part_name(part_number, digest))
                _sync_folder(folder)
            except FileNotFoundError as error:
                raise _gone(upload_id) from error

        return place

    def parts(self, path: str, upload_id: str) -> Sequence[Part]:
        """The parts that are on disk, by number."""
        self._upload(path, upload_id)
        found = []
        with os.scandir(self._folder / upload_id) as entries:
            for entry in entries:
                if match := _PART_NAME.fullmatch(entry.name):
                    found.append(Part(int(match[1]), f'"{match[2]}"', entry.stat().st_size))
        return sorted(found, key=lambda part: (part.number, part.etag))

    def complete(self, path: str, upload_id: str, parts: Sequence[Part], join: Join) -> StoredFile:
        """Check the parts and let `join` make them one file. Completing twice is one completion."""
        done = self._done(path, upload_id, parts)
        if done:
            return done
        upload = self._upload(path, upload_id)
        folder = self._folder / upload_id
        with _locked(folder):
            done = self._done(path, upload_id, parts)
            if done:
                return done
            digests = _checked_digests(upload, parts)
            files = [folder / _part_name(i, digest) for i, digest in enumerate(digests, 1)]
            _check_present(files, upload_id)
            stored = join(path, lambda fd: _concatenate(files, fd))
            note = msgspec.json.encode(_Done(path, digests, stored))
            _write_durably(self._folder / f"{upload_id}.done", note)
            self._drop(folder)
        return stored

    def abort(self, path: str, upload_id: str) -> None:
        """Drop the upload; nothing happens when it is gone."""
        try:
            self._upload(path, upload_id)
        except NotFound:
            return
        self._drop(self._folder / upload_id)

    def sweep(self, older_than: float) -> int:
        """Remove uploads that got no part for `older_than` seconds; how many."""
        return sweep(self._folder, older_than)

    def _drop(self, folder: Path) -> None:
        grave = self._tree.new_temp()
        try:
            os.rename(folder, grave)
        except FileNotFoundError:
            return
        discard(grave)

    def _upload(self, path: str, upload_id: str) -> _Upload:
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise InvalidRequest(
                f"Invalid value {upload_id[:60]!r} for 'upload_id': expected 32 hexadecimal digits."
            )
        try:
            text = (self._folder / upload_id / "upload.json").read_bytes()
        except FileNotFoundError:
            raise _gone(upload_id) from None
        upload = msgspec.json.decode(text, type=_Upload)
        if upload.path != path:
            raise InvalidRequest(
                f"Upload {upload_id} was started for '{upload.path}', not for '{path}'."
            )
        return upload

    def _done(self, path: str, upload_id: str, parts: Sequence[Part]) -> StoredFile | None:
        if not _UPLOAD_ID.fullmatch(upload_id):
            return None
        try:
            text = (self._folder / f"{upload_id}.done").read_bytes()
        except FileNotFoundError:
            return None
        done = msgspec.json.decode(text, type=_Done)
        same = done.path == path and done.digests == [_digest(part.etag) for part in parts]
        return done.stored if same else None


def _checked_digests(upload: _Upload, parts: Sequence[Part]) -> list[str]:
    numbers = [part.number for part in parts]
    if numbers != list(range(1, upload.num_parts + 1)):
        raise InvalidRequest(
            f"Invalid value for 'parts': expected all parts 1 to {upload.num_parts} in this order, "
            f"found {_shown(numbers)}."
        )
    for part in parts:
        if not _SHA256.fullmatch(_digest(part.etag)):
            raise InvalidRequest(
                f"Invalid value {part.etag[:80]!r} for 'parts[{part.number - 1}].etag': expected "
                "the ETag that the PUT of this part answered."
            )
    return [_digest(part.etag) for part in parts]


def _check_present(files: Sequence[Path], upload_id: str) -> None:
    missing = [i for i, file in enumerate(files, 1) if not file.exists()]
    if missing:
        raise InvalidRequest(
            f"Upload {upload_id} cannot be completed: no part with the given ETag has arrived for "
            f"number {_shown(missing)}. Send it again and complete with the ETag it answers."
        )


def _concatenate(files: Sequence[Path], target: int) -> str:
    """Append all files to the empty file `target`; the SHA-256 of the whole."""
    with ThreadPoolExecutor(1, "headrace-digest") as pool:
        # Hashing gives up the GIL: on a second core it costs no time of its own.
        digest = pool.submit(_digest_of, files)
        for file in files:
            with open(file, "rb", buffering=0) as source:
                _copy(source.fileno(), target)
        return digest.result()


def _copy(source: int, target: int) -> None:
    try:
        while os.copy_file_range(source, target, _COPY):
            pass
    except (OSError, AttributeError):
        # Not on this system or file system. A full disk shows again below, by name.
        while data := os.read(source, _COPY):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(target, rest) :]


def _digest_of(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    for file in files:
        with open(file, "rb", buffering=0) as source:
            while count := source.readinto(buffer):
                digest.update(view[:count])
    return digest.hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the upload against others who want to complete it at the same time."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        # Completed and gone since we looked: `_done` knows, or it was aborted.
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write_durably(path: Path, data: bytes) -> None:
    temp = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(temp, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temp, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _part_name(number: int, digest: str) -> str:
    return f"{number:05d}-{digest}"


def _digest(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"').lower()


def _gone(upload_id: str) -> NotFound:
    return NotFound(
        f"No upload {upload_id}: it was completed, aborted, or abandoned for too long; start anew."
    )


def _shown(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:10])) or "none"
    return text if len(numbers) <= 10 else f"{text}, … ({len(numbers)} in all)"
