"""The versions of a model as a tracking server, a database or a folder has them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headrace.client import tracking
from headrace.client.client import current_client
from headrace.client.model_loading import local_model
from headrace.client.places import without_credentials
from headrace.models.sources import ModelSource, Version
from headrace.protocol.uris import LoggedModelUri, RegistryUri, parse_models_uri, scheme_of

log = logging.getLogger("headrace")

_SOON: Final = 1.0


class UriSource(ModelSource):
    """The model that a URI names, in any of the forms that `load_model` takes.

    An alias (or a stage, or `latest`) may name another version later; all else stays what it is.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._named = _registered(uri)
        self._has_been_there = False

    @property
    def uri(self) -> str:
        """See ModelSource."""
        return self._uri

    @property
    def can_move(self) -> bool:
        """See ModelSource."""
        return self._named is not None and self._named.version is None

    def current(self) -> Version:
        """See ModelSource."""
        named = self._named
        if named is None:
            return Version(self._uri, self._uri.rstrip("/").rpartition("/")[2])
        if named.version is not None:
            return Version(self._uri, named.version)
        with self._patiently("asking %s which version %s is; there is no answer yet"):
            number = str(current_client()._version_number(named))
        return Version(f"models:/{named.name}/{number}", number)

    def fetch(self, version: Version) -> Path:
        """See ModelSource."""
        if scheme_of(version.uri) in ("", "file"):
            return local_model(version.uri)
        with self._patiently("still asking %s for %s, or fetching it"):
            return local_model(version.uri)

    @contextmanager
    def _patiently(self, meanwhile: str) -> Iterator[None]:
        """Say after a second what is waited for, unless it has been there before: then there is
        something to go on with.
        """
        own = tracking.get_tracking_uri() if self._named is None else tracking.get_registry_uri()
        said = (meanwhile, without_credentials(own), self._uri)
        timer = threading.Timer(_SOON, log.info, said)
        timer.daemon = True
        if not self._has_been_there:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
        self._has_been_there = True


def default_name(uri: str) -> str:
    """The name that a model is served under where nobody chose one."""
    named = _registered(uri)
    return named.name if named else uri.rstrip("/").rpartition("/")[2]


def _registered(uri: str) -> RegistryUri | None:
    if scheme_of(uri) != "models":
        return None
    found = parse_models_uri(uri)
    return None if isinstance(found, LoggedModelUri) else found
