"""The store behind a server's URL: every method is a call of the protocol."""

from __future__ import annotations

from headrace.store.base import Store
from headrace.store.rest import stores
from headrace.transport import Transport


def open_rest_store(url: str) -> Store:
    """The store of the tracking server at `url` (http or https).

    Nothing is sent before the first call. Raises InvalidRequest for another kind of URL.
    """
    return store_over(Transport(url))


def store_over(transport: Transport) -> Store:
    """The store of the server that `transport` talks to; closing it closes the connections."""
    return Store(
        experiments=stores.RestExperiments(transport),
        runs=stores.RestRuns(transport),
        metrics=stores.RestMetrics(transport),
        datasets=stores.RestDatasets(transport),
        logged_models=stores.RestLoggedModels(transport),
        registered_models=stores.RestRegisteredModels(transport),
        model_versions=stores.RestModelVersions(transport),
        close=transport.close,
    )
