"""The client: every call about everything that is tracked, on a database or a server."""

from __future__ import annotations

from functools import lru_cache

from headrace.client import tracking
from headrace.client.artifact_calls import ArtifactCalls
from headrace.client.experiment_calls import ExperimentCalls
from headrace.client.logged_model_calls import LoggedModelCalls
from headrace.client.registry_calls import ModelVersionCalls
from headrace.client.run_calls import RunCalls


class Client(ExperimentCalls, RunCalls, ArtifactCalls, ModelVersionCalls, LoggedModelCalls):
    """Calls on a tracking server (`http…`) or directly on a database, under MLflow's names.

    Safe to use from any thread. What a caller gets wrong raises InvalidRequest at the call. What
    writes to runs returns at once: it is in the journal, and arrives whatever the server does (see
    Outbox). All else asks: NotFound for what is not there, Unavailable when the server or the
    database cannot answer now; what it writes is stored when it returns.
    """


def current_client() -> Client:
    """The client of the tracking and registry URIs that are set now."""
    return _client(tracking.get_tracking_uri(), tracking.get_registry_uri())


@lru_cache(maxsize=16)
def _client(tracking_uri: str, registry_uri: str) -> Client:
    return Client(tracking_uri, registry_uri)
