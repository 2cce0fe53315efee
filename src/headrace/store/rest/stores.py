"""The seven narrow stores, each method one endpoint.

`resend=True` marks what may be sent twice without harm, because the store's contract says so:
points of metrics are kept once, a parameter may be written again with the same value, a tag is
overwritten, a soft delete repeats. What makes something new, or answers NotFound the second time,
is not sent again once the server may have seen it.
"""

from __future__ import annotations

from headrace.protocol import (
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
)
from headrace.store.rest.calls import RestCalls, call


class RestExperiments(RestCalls):
    """See ExperimentStore."""

    create = call(experiments.CREATE)
    get = call(experiments.GET)
    get_by_name = call(experiments.GET_BY_NAME)
    search = call(experiments.SEARCH, resend=True)
    update = call(experiments.UPDATE, resend=True)
    delete = call(experiments.DELETE)
    restore = call(experiments.RESTORE)
    set_tag = call(experiments.SET_TAG, resend=True)
    delete_tag = call(experiments.DELETE_TAG)


class RestRuns(RestCalls):
    """See RunStore."""

    create = call(runs.CREATE, resend=lambda request: request.run_id is not None)
    get = call(runs.GET)
    update = call(runs.UPDATE, resend=True)
    delete = call(runs.DELETE, resend=True)
    restore = call(runs.RESTORE, resend=True)
    search = call(runs.SEARCH, resend=True)
    log_param = call(runs.LOG_PARAM, resend=True)
    set_tag = call(runs.SET_TAG, resend=True)
    delete_tag = call(runs.DELETE_TAG)
    log_batch = call(runs.LOG_BATCH, resend=True)
    log_model = call(runs.LOG_MODEL)


class RestMetrics(RestCalls):
    """See MetricStore."""

    log = call(metrics.LOG, resend=True)
    history = call(metrics.GET_HISTORY)
    history_bulk_interval = call(metrics.GET_HISTORY_BULK_INTERVAL)
    history_bulk = call(metrics.GET_HISTORY_BULK)


class RestDatasets(RestCalls):
    """See DatasetStore."""

    log_inputs = call(datasets.LOG_INPUTS, resend=True)
    log_outputs = call(datasets.LOG_OUTPUTS, resend=True)
    search = call(datasets.SEARCH, resend=True)


class RestLoggedModels(RestCalls):
    """See LoggedModelStore."""

    create = call(logged_models.CREATE, resend=lambda request: request.model_id is not None)
    get = call(logged_models.GET)
    finalize = call(logged_models.FINALIZE, resend=True)
    delete = call(logged_models.DELETE)
    search = call(logged_models.SEARCH, resend=True)
    set_tags = call(logged_models.SET_TAGS, resend=True)
    delete_tag = call(logged_models.DELETE_TAG)
    log_params = call(logged_models.LOG_PARAMS, resend=True)


class RestRegisteredModels(RestCalls):
    """See RegisteredModelStore."""

    create = call(registered_models.CREATE)
    get = call(registered_models.GET)
    update = call(registered_models.UPDATE, resend=True)
    rename = call(registered_models.RENAME)
    delete = call(registered_models.DELETE)
    search = call(registered_models.SEARCH)
    latest_versions = call(registered_models.GET_LATEST, resend=True)
    set_tag = call(registered_models.SET_TAG, resend=True)
    delete_tag = call(registered_models.DELETE_TAG, resend=True)
    set_alias = call(registered_models.SET_ALIAS, resend=True)
    delete_alias = call(registered_models.DELETE_ALIAS, resend=True)
    get_by_alias = call(registered_models.GET_BY_ALIAS)


class RestModelVersions(RestCalls):
    """See ModelVersionStore."""

    create = call(model_versions.CREATE, resend=lambda request: request.version is not None)
    get = call(model_versions.GET)
    update = call(model_versions.UPDATE, resend=True)
    delete = call(model_versions.DELETE)
    search = call(model_versions.SEARCH)
    download_uri = call(model_versions.GET_DOWNLOAD_URI)
    transition_stage = call(model_versions.TRANSITION_STAGE, resend=True)
    set_tag = call(model_versions.SET_TAG, resend=True)
    delete_tag = call(model_versions.DELETE_TAG, resend=True)
