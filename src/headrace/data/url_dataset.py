"""Data sets behind URLs."""

from __future__ import annotations

import hashlib

from headrace.data.dataset import Dataset
from headrace.data.dataset_source import HttpSource
from headrace.data.digests import shortened
from headrace.data.download import MAX_BYTES, MAX_SECONDS, stream_url
from headrace.data.file_dataset import FileProfile
from headrace.data.profile import PROFILE_VERSION, Profile
from headrace.data.urls import checked_url, name_of, without_secrets


class UrlDataset(Dataset):
    """A file on a web server: `url`, without credentials."""

    def __init__(
        self, url: str, source: HttpSource, name: str | None, digest: str, num_bytes: int | None
    ) -> None:
        self._url = url
        self._num_bytes = num_bytes
        super().__init__(source, name, digest)

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        return self._url

    def _compute_profile(self) -> Profile:
        if self._num_bytes is None:
            return Profile(profile_version=PROFILE_VERSION)
        return FileProfile(profile_version=PROFILE_VERSION, num_files=1, num_bytes=self._num_bytes)


def from_url(
    url: str,
    name: str | None = None,
    digest: str | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> UrlDataset:
    """A data set of the file behind an http or https URL.

    The file is downloaded once for its digest, the beginning of its SHA-256, and not kept; with
    `digest` nothing is downloaded. At most `max_bytes` (10 GiB) are read, for at most `max_seconds`
    (an hour). Credentials in the URL are used, and not written down. Without `name` it is the
    file's. Raises InvalidRequest, Unavailable, or the error that the server's status stands for.
    """
    shown = without_secrets(checked_url(url))
    num_bytes = None
    if digest is None:
        num_bytes = 0
        hashed = hashlib.sha256()
        for piece in stream_url(url, max_bytes, max_seconds):
            hashed.update(piece)
            num_bytes += len(piece)
        digest = shortened(hashed)
    name = name_of(shown) or None if name is None else name
    return UrlDataset(shown, HttpSource({"url": shown}), name, digest, num_bytes)
