"""What every part of the client stands on: two stores, a logger and the artifacts of runs."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.open import ArtifactPlace, open_artifacts
from headrace.client import tracking
from headrace.client.run import DirectLogger, RunLogger
from headrace.client.values import checked
from headrace.protocol.runs import RunRef
from headrace.store.base import Store


class Connection:
    """The stores at a tracking URI and a registry URI (the set ones by default)."""

    def __init__(
        self, tracking_uri: str | Path | None = None, registry_uri: str | Path | None = None
    ) -> None:
        self._tracking_uri = tracking.normalized_uri(tracking_uri, tracking.get_tracking_uri)
        default = (lambda: self._tracking_uri) if tracking_uri else tracking.get_registry_uri
        self._registry_uri = tracking.normalized_uri(registry_uri, default)
        self._logger: RunLogger = DirectLogger(lambda: self._store)
        self._artifact_uris: dict[str, str] = {}

    @property
    def tracking_uri(self) -> str:
        """Where this client tracks runs."""
        return self._tracking_uri

    @property
    def registry_uri(self) -> str:
        """Where this client registers models."""
        return self._registry_uri

    @property
    def _store(self) -> Store:
        return tracking.store_for(self._tracking_uri)

    @property
    def _registry(self) -> Store:
        return tracking.store_for(self._registry_uri)

    def _place(self, uri: str) -> ArtifactPlace:
        return open_artifacts(uri, self._tracking_uri)

    def _run_place(self, run_id: str) -> ArtifactPlace:
        """Where a run's artifacts are; asked once, for it never changes."""
        uri = self._artifact_uris.get(run_id)
        if uri is None:
            answer = self._store.runs.get(checked(RunRef, run_id=run_id))
            uri = self._artifact_uris[run_id] = answer.run.info.artifact_uri
        return self._place(uri)
