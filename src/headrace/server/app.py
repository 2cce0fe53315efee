"""The endpoint table: which method of the store answers a call, and which role it needs."""

from __future__ import annotations

from functools import partial
from typing import Any

from headrace.artifacts.base import ArtifactStore
from headrace.protocol import (
    artifacts as artifact_calls,
)
from headrace.protocol import (
    console,
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server_info,
)
from headrace.server.artifact_listing import (
    list_artifacts,
    list_logged_model_artifacts,
    list_run_artifacts,
    read_small_files,
)
from headrace.server.artifacts import artifact_routes
from headrace.server.console import read_console
from headrace.server.dispatch import Dispatcher, Row
from headrace.server.settings import ServerSettings
from headrace.server.site import Site
from headrace.store.base import Store
from headrace.store.users import Role
from headrace.version import VERSION

READ, WRITE, ADMIN = Role.READ, Role.WRITE, Role.ADMIN
Rows = list[Row[Any, Any]]


def create_app(
    store: Store,
    artifacts: ArtifactStore,
    settings: ServerSettings,
) -> Dispatcher:
    """The server as an ASGI application.

    It belongs to one event loop. Who may do what stands in `store.users`. Closing `store` is
    the caller's part, after the last request; `close()` of the application lets go of its own
    threads.
    """
    site = Site(store)
    routes = [*site.routes(), *artifact_routes(artifacts, store, settings)]
    app = Dispatcher(endpoint_rows(store, artifacts), routes, settings, store.users)
    site.read = app.read
    return app


def endpoint_rows(store: Store, artifacts: ArtifactStore) -> Rows:
    """One row for each call of the protocol that is served, in the order of the document."""
    return [
        *_experiment_rows(store),
        *_run_rows(store),
        *_artifact_rows(store, artifacts),
        *_logged_model_rows(store),
        *_registered_model_rows(store),
        *_model_version_rows(store),
        Row(server_info.GET, READ, _server_info, quick=True),
    ]


def _experiment_rows(store: Store) -> Rows:
    to = store.experiments
    return [
        Row(experiments.CREATE, WRITE, to.create),
        Row(experiments.GET, READ, to.get, quick=True),
        Row(experiments.GET_BY_NAME, READ, to.get_by_name, quick=True),
        Row(experiments.SEARCH, READ, to.search),
        Row(experiments.SEARCH_GET, READ, to.search),
        Row(experiments.UPDATE, WRITE, to.update),
        Row(experiments.DELETE, WRITE, to.delete),
        Row(experiments.RESTORE, WRITE, to.restore),
        Row(experiments.SET_TAG, WRITE, to.set_tag),
        Row(experiments.DELETE_TAG, WRITE, to.delete_tag),
        Row(datasets.SEARCH, READ, store.datasets.search),
    ]


def _run_rows(store: Store) -> Rows:
    to = store.runs
    return [
        Row(runs.CREATE, WRITE, to.create),
        Row(runs.GET, READ, to.get, quick=True),
        Row(runs.UPDATE, WRITE, to.update),
        Row(runs.DELETE, WRITE, to.delete),
        Row(runs.RESTORE, WRITE, to.restore),
        Row(runs.SEARCH, READ, to.search),
        Row(runs.LOG_PARAM, WRITE, to.log_param),
        Row(runs.SET_TAG, WRITE, to.set_tag),
        Row(runs.DELETE_TAG, WRITE, to.delete_tag),
        Row(runs.LOG_BATCH, WRITE, to.log_batch),
        Row(runs.LOG_MODEL, WRITE, to.log_model),
        Row(metrics.LOG, WRITE, store.metrics.log),
        Row(metrics.GET_HISTORY, READ, store.metrics.history),
        Row(metrics.GET_HISTORY_BULK_INTERVAL, READ, store.metrics.history_bulk_interval),
        Row(metrics.GET_HISTORY_BULK, READ, store.metrics.history_bulk),
        Row(datasets.LOG_INPUTS, WRITE, store.datasets.log_inputs),
        Row(datasets.LOG_OUTPUTS, WRITE, store.datasets.log_outputs),
    ]


def _artifact_rows(store: Store, artifacts: ArtifactStore) -> Rows:
    of_model = partial(list_logged_model_artifacts, store, artifacts)
    return [
        Row(artifact_calls.LIST_RUN, READ, partial(list_run_artifacts, store, artifacts)),
        Row(artifact_calls.LIST, READ, partial(list_artifacts, artifacts)),
        Row(artifact_calls.READ_SMALL, READ, partial(read_small_files, artifacts)),
        Row(logged_models.LIST_ARTIFACTS, READ, of_model),
        Row(console.READ, READ, partial(read_console, store, artifacts)),
    ]


def _logged_model_rows(store: Store) -> Rows:
    to = store.logged_models
    return [
        Row(logged_models.CREATE, WRITE, to.create),
        Row(logged_models.SEARCH, READ, to.search),
        Row(logged_models.GET, READ, to.get, quick=True),
        Row(logged_models.FINALIZE, WRITE, to.finalize),
        Row(logged_models.DELETE, WRITE, to.delete),
        Row(logged_models.SET_TAGS, WRITE, to.set_tags),
        Row(logged_models.DELETE_TAG, WRITE, to.delete_tag),
        Row(logged_models.LOG_PARAMS, WRITE, to.log_params),
    ]


def _registered_model_rows(store: Store) -> Rows:
    to = store.registered_models
    return [
        Row(registered_models.CREATE, WRITE, to.create),
        Row(registered_models.GET, READ, to.get, quick=True),
        Row(registered_models.UPDATE, WRITE, to.update),
        Row(registered_models.RENAME, WRITE, to.rename),
        Row(registered_models.DELETE, ADMIN, to.delete),
        Row(registered_models.SEARCH, READ, to.search),
        Row(registered_models.GET_LATEST, READ, to.latest_versions),
        Row(registered_models.GET_LATEST_GET, READ, to.latest_versions),
        Row(registered_models.SET_TAG, WRITE, to.set_tag),
        Row(registered_models.DELETE_TAG, WRITE, to.delete_tag),
        Row(registered_models.SET_ALIAS, WRITE, to.set_alias),
        Row(registered_models.DELETE_ALIAS, WRITE, to.delete_alias),
        Row(registered_models.GET_BY_ALIAS, READ, to.get_by_alias, quick=True),
    ]


def _model_version_rows(store: Store) -> Rows:
    to = store.model_versions
    return [
        Row(model_versions.CREATE, WRITE, to.create),
        Row(model_versions.GET, READ, to.get, quick=True),
        Row(model_versions.UPDATE, WRITE, to.update),
        Row(model_versions.DELETE, ADMIN, to.delete),
        Row(model_versions.SEARCH, READ, to.search),
        Row(model_versions.GET_DOWNLOAD_URI, READ, to.download_uri, quick=True),
        Row(model_versions.TRANSITION_STAGE, WRITE, to.transition_stage),
        Row(model_versions.SET_TAG, WRITE, to.set_tag),
        Row(model_versions.DELETE_TAG, WRITE, to.delete_tag),
    ]


def _server_info(_: server_info.GetServerInfo) -> server_info.ServerInfo:
    return server_info.ServerInfo(
        store_type="SqlStore",
        workspaces_enabled=False,
        trace_archival_enabled=False,
        multipart_uploads_enabled=True,
        multipart_downloads_enabled=True,
        presigned_upload_run_id_supported=False,
        presigned_upload_model_id_supported=False,
        headrace_version=VERSION,
    )
