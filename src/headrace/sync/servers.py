"""Tracking servers as sides of a copy: whether one is Headrace's, and what MLflow's leaves out."""

from __future__ import annotations

from headrace.artifacts.http import HttpArtifactStore
from headrace.artifacts.open import open_artifacts
from headrace.errors import HeadraceError
from headrace.protocol import runs, server_info
from headrace.sync.outcome import FATAL
from headrace.sync.store_source import StoreSource


def is_headrace(url: str) -> bool:
    """Whether the server at `url` is Headrace's. Raises Unavailable if it does not answer."""
    artifacts = open_artifacts("mlflow-artifacts:/", url).store
    assert isinstance(artifacts, HttpArtifactStore)
    try:
        info = artifacts.transport.call(server_info.GET, server_info.GetServerInfo(), resend=True)
    except FATAL:
        raise
    except HeadraceError:  # MLflow answers without our version, an older one answers 404
        return False
    return bool(info.headrace_version)


class MlflowServer(StoreSource):
    """A server of MLflow's to copy from. Its searches leave a run's model inputs out."""

    def whole_run(self, run: runs.Run) -> runs.Run:
        """See ShowsRunsInPart."""
        return self.store.runs.get(runs.RunRef(run.info.run_id)).run
