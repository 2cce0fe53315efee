"""Downloaded models, kept on local disk under the digest of their signature.

What is signed is fetched once: the signature lists every file with its SHA-256, so each is checked
as it arrives, and one that was cut off goes on where it stopped, in this process or the next. A
model without a signature cannot be recognised, so it is fetched anew into a folder that goes with
the process. Everything is checked again when the model is opened.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from headrace.artifacts.http import HttpArtifactStore
from headrace.artifacts.open import ArtifactPlace
from headrace.artifacts.transfer import at_once, download_to
from headrace.errors import InvalidModel, InvalidRequest, NotFound, Unavailable
from headrace.models.cache import cache_root
from headrace.models.model import MODEL_FILE, no_model
from headrace.models.trust import SIGNATURE_FILE
from headrace.models.trust.bundle import MAX_BUNDLE_BYTES, open_bundle
from headrace.models.trust.manifest import digests_in

_log: Final = logging.getLogger("headrace")
UNUSED_DAYS: Final = 30
"""Models that nobody loaded for so long are removed when another is fetched."""
_PIECE: Final = 1 << 20


def fetched(place: ArtifactPlace, uri: str) -> Path:
    """The model at `place`, which `uri` led to, as a folder on this machine.

    NotFound; Unavailable; InvalidModel for a file that is not what was signed.
    """
    bundle = _signature(place)
    digests = _digests(bundle)
    if bundle is None or digests is None:
        return _fetched_for_now(place, uri)
    name = hashlib.sha256(bundle).hexdigest()
    home = cache_root() / "models"
    folder = home / name
    if not folder.is_dir():
        try:
            home.mkdir(parents=True, mode=0o700, exist_ok=True)
            is_kept = os.access(home, os.W_OK)
        except OSError:  # a home that is read-only, or none, as in many containers
            is_kept = False
        if not is_kept:
            _log.warning(
                "The model is not kept on this machine, for %s cannot be written: it is fetched "
                "each time. Set HEADRACE_CACHE to a folder that can.",
                home,
            )
            return _fetched_for_now(place, uri)
        with _only_one(home / f"{name}.lock"):
            if not folder.is_dir():
                _sweep(home)
                _fill(place, bundle, digests, home / f"{name}.partial", folder)
    with suppress(OSError):
        os.utime(folder)
    return folder


def _signature(place: ArtifactPlace) -> bytes | None:
    try:
        with place.store.read(place.below(SIGNATURE_FILE).path) as reader:
            if reader.size > MAX_BUNDLE_BYTES:
                return None
            return b"".join(reader.chunks())
    except NotFound:
        return None


def _digests(bundle: bytes | None) -> dict[str, str] | None:
    """What a signature lists; None where it is of a kind that is not read here, or broken."""
    if bundle is None:
        return None
    try:
        payload, signer = open_bundle(bundle)
        return None if signer is None else digests_in(payload)
    except InvalidModel:
        return None  # opening the folder says what is wrong with it


def _fill(
    place: ArtifactPlace, bundle: bytes, digests: dict[str, str], partial: Path, folder: Path
) -> None:
    """Fetch every file into `partial`, which may have some of them, and make it `folder`."""
    partial.mkdir(mode=0o700, exist_ok=True)

    for name, content in _small_files(place).items():
        if hashlib.sha256(content).hexdigest() == digests.get(name):
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def fetch(item: tuple[str, str]) -> None:
        _fetch(place, item[0], partial, item[1])

    left = [item for item in sorted(digests.items()) if not (partial / item[0]).exists()]
    at_once(fetch, left)
    (partial / SIGNATURE_FILE).write_bytes(bundle)
    partial.replace(folder)


def _small_files(place: ArtifactPlace) -> dict[str, bytes]:
    """What comes in one answer, where the server can; each file by itself costs one of its own."""
    return place.store.small_files(place.path) if isinstance(place.store, HttpArtifactStore) else {}


def _fetch(place: ArtifactPlace, name: str, partial: Path, sha256: str) -> None:
    """Fetch one file, going on after the bytes that are there; at most once from the start."""
    target = partial / name
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    begun = target.with_name(f"{target.name}.{sha256[:16]}.part")
    for _ in range(2):
        if _append(place, name, begun) == sha256:
            begun.replace(target)
            return
        begun.unlink()
    raise InvalidModel(
        f"'{name}' at '{place.path}' is not what was signed when the model was logged, although it "
        "was fetched twice: it has been changed where it is stored."
    )


def _append(place: ArtifactPlace, name: str, begun: Path) -> str:
    """Add what is missing to a file; the SHA-256 of all of it."""
    digest = hashlib.sha256()
    with place.store.read(place.below(name).path) as reader, open(begun, "ab+") as file:
        file.seek(0)
        while piece := file.read(_PIECE):
            digest.update(piece)
        have = file.tell()
        if have < reader.size:
            for piece in reader.chunks(have):
                digest.update(piece)
                file.write(piece)
    return digest.hexdigest()


def _fetched_for_now(place: ArtifactPlace, uri: str) -> Path:
    """Fetch an unsigned model into a folder that is removed when the process ends."""
    home = Path(tempfile.mkdtemp(prefix="headrace-model-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    folder = home / "model"
    download_to(place.store, place.path, folder, folder=True)
    if not (folder / MODEL_FILE).is_file():
        raise no_model(uri)
    return folder


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold off other processes that fetch the same model. Unavailable for a disk without locks."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidRequest(
            f"The cache of models cannot be written ({error}). Set HEADRACE_CACHE to a folder that "
            "can, or give 'dst_path'."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise Unavailable(f"The model cannot be kept in {lock.parent}: {error}.") from error
    finally:
        os.close(descriptor)


def _sweep(home: Path) -> None:
    """Remove what nobody used for long."""
    before = time.time() - UNUSED_DAYS * 86_400
    for entry in home.iterdir():
        with suppress(OSError):
            if entry.is_dir() and entry.stat().st_mtime < before:
                shutil.rmtree(entry)
                entry.with_suffix(".lock").unlink(missing_ok=True)
