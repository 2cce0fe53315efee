"""What every part of the client stands on: two stores, an outbox and the artifacts of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.artifacts.open import ArtifactPlace, open_artifacts
from headrace.client import tracking
from headrace.client.outbox import Outbox, outbox_for
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
    def _outbox(self) -> Outbox:
        """Where everything goes that runs log."""
        return outbox_for(self._tracking_uri)

    @property
    def _store(self) -> Store:
        """Where runs are tracked, after what this process logged has been delivered there."""
        if self._deliver():
            return tracking.store_for(self._tracking_uri)
        # It does not answer as we know: a short try, instead of many.
        return tracking.quick_store_for(self._tracking_uri)

    @property
    def _registry(self) -> Store:
        self._deliver()
        return tracking.store_for(self._registry_uri)

    def _deliver(self) -> bool:
        """Send what this process logged; whether the server could be reached."""
        if self._outbox.flush():
            return True
        self._outbox.say_what_is_missing()
        return not self._outbox.is_server_away

    def _place(self, uri: str) -> ArtifactPlace:
        """Where an artifact URI leads, after this process's artifacts have been delivered."""
        place = open_artifacts(uri, self._tracking_uri)
        self._deliver()  # later: a URI that is refused shall make no database
        return place

    def _run_place(self, run_id: str) -> ArtifactPlace:
        """Where a run's artifacts are; asked once, for it never changes."""
        uri = self._artifact_uris.get(run_id)
        if uri is None:
            answer = self._store.runs.get(self._run_ref(run_id))
            uri = self._artifact_uris[run_id] = answer.run.info.artifact_uri
        return self._place(uri)

    def _run_ref(self, run_id: Any) -> RunRef:
        """A run as the server knows it. Raises InvalidRequest for what is no run's id."""
        ref = checked(RunRef, run_id=run_id)
        return RunRef(run_id=self._outbox.run_id(ref.run_id))
