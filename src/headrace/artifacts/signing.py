"""URLs that carry their own permission: HMAC-SHA256 over method, path, upload, part and expiry.

The key lies in the artifact root, so every worker, every server on the same root and the same
server after a restart accept one another's URLs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from headrace.artifacts.base import Grant
from headrace.errors import HeadraceError, PermissionDenied

SIGNED_PREFIX: Final = "/artifacts/signed"
_KEY_BYTES: Final = 32


class UrlSigner:
    """Signs and checks grants with one key. Safe to use from any thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def url(self, grant: Grant, lifetime: float) -> str:
        """The path and query on the tracking server that allow `grant` for `lifetime` seconds."""
        expires = int(time.time() + lifetime)
        query: dict[str, str | int] = {"expires": expires}
        kind = "file"
        if grant.upload_id:
            kind = "part"
            query |= {"upload_id": grant.upload_id, "part_number": grant.part_number}
        query["signature"] = self._signature(grant, expires)
        return f"{SIGNED_PREFIX}/{kind}/{quote(grant.path)}?{urlencode(query)}"

    def verify(self, grant: Grant, expires: int, signature: str) -> None:
        """Raise PermissionDenied unless `signature` was made for `grant` and has not expired."""
        expected = self._signature(grant, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise PermissionDenied(
                "The signature of this URL does not match its method, path, upload, part and "
                "expiry; use the URL exactly as the server gave it."
            )
        if time.time() > expires:
            raise PermissionDenied("This signed URL has expired; ask the server for a new one.")

    def _signature(self, grant: Grant, expires: int) -> str:
        # Lengths in front of the free texts: no two grants have the same message.
        fields = (grant.method, grant.path, grant.upload_id, str(grant.part_number), str(expires))
        message = b"headrace-url-1" + b"".join(
            b"\n%d:%s" % (len(data), data) for data in (f.encode() for f in fields)
        )
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def load_or_create_key(path: Path) -> bytes:
    """The signing key in the file `path`, made (mode 0600) when there is none.

    Processes that start together agree on one key: the first hard link wins.
    """
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(fd)
        with suppress(FileExistsError):
            os.link(temp, path)
    finally:
        os.unlink(temp)
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise HeadraceError(
            f"The signing key '{path}' has {len(key)} bytes, expected {_KEY_BYTES}; delete the "
            "file and start again (signed URLs handed out before stop working)."
        )
    return key
