"""The fluent API: registered models, their versions, and logged models."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, overload

from headrace.client.active import active_run
from headrace.client.active_model import ActiveModel, activate, get_active_model_id
from headrace.client.client import Client, current_client
from headrace.client.context import context_tags
from headrace.client.entities import LoggedModel, ModelVersion, RegisteredModel
from headrace.client.experiment import current_experiment_id
from headrace.client.frames import logged_models_frame
from headrace.client.values import every_page
from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.protocol.names import check_logged_model_name
from headrace.protocol.uris import LoggedModelUri, join, parse_models_uri, parse_run_uri, scheme_of

if TYPE_CHECKING:
    import pandas as pd

MODEL_FILE = "MLmodel"
EXTERNAL_TAG = "mlflow.model.isExternal"


class _Made(threading.local):
    """The last logged model that each thread has made."""

    model_id: str | None = None


_made = _Made()


def register_model(
    model_uri: str,
    name: str,
    await_registration_for: int | None = 300,
    *,
    tags: Mapping[str, Any] | None = None,
    env_pack: None = None,
) -> ModelVersion:
    """Make the next version of the model `name`, which is made when it is not there.

    `model_uri` is `runs:/<run id>/<path>`, `models:/m-<id>`, a version's `models:/…`, or where
    files lie. The version is ready at once. `env_pack` must be left out. NotFound.
    """
    if env_pack is not None:
        raise InvalidRequest("'env_pack' is of use on Databricks only; leave it out.")
    client = current_client()
    source, run_id, model_id = _source_of(client, str(model_uri))
    with suppress(AlreadyExists):  # the usual case: this is its next version
        client.create_registered_model(name)
    try:
        return client.create_model_version(
            name, source, run_id, tags, await_creation_for=await_registration_for, model_id=model_id
        )
    except InvalidRequest as error:
        if scheme_of(source) not in ("", "file") or run_id or model_id:
            raise
        raise InvalidRequest(
            f"'{source}' is a folder that is not tracked, so it cannot be registered: {error} Log "
            "the model with log_model(…, registered_model_name=…); or, in a run, log the folder by "
            "headrace.log_artifacts(folder, 'model'), and register 'runs:/RUN_ID/model'."
        ) from error


def search_registered_models(
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[RegisteredModel]:
    """The registered models that a filter accepts, all of them or the first `max_results`."""
    client = current_client()

    def fetch(size: int, token: str | None) -> tuple[list[RegisteredModel], str | None]:
        page = client.search_registered_models(filter_string, size, order_by, token)
        return page, page.token

    return every_page(fetch, max_results, 100)


def search_model_versions(
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[ModelVersion]:
    """The model versions that a filter accepts, all of them or the first `max_results`."""
    client = current_client()

    def fetch(size: int, token: str | None) -> tuple[list[ModelVersion], str | None]:
        page = client.search_model_versions(filter_string, size, order_by, token)
        return page, page.token

    return every_page(fetch, max_results, 10_000)


def set_model_version_tag(
    name: str, version: str | None = None, key: str | None = None, value: Any = None
) -> None:
    """Write a tag of a model version, over what was there. NotFound."""
    current_client().set_model_version_tag(name, version, key, value)


def initialize_logged_model(
    name: str | None = None,
    source_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    model_type: str | None = None,
    experiment_id: str | None = None,
) -> LoggedModel:
    """Make a logged model of the active run, PENDING until `finalize_logged_model`."""
    run = active_run()
    model = current_client().create_logged_model(
        experiment_id or (run.info.experiment_id if run else current_experiment_id()),
        name,
        source_run_id or (run.info.run_id if run else None),
        {**_origin(), **(tags or {})},
        params,
        model_type,
    )
    _made.model_id = model.model_id
    return model


def create_external_model(
    name: str | None = None,
    source_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    model_type: str | None = None,
    experiment_id: str | None = None,
) -> LoggedModel:
    """Make a logged model whose files lie elsewhere; it is READY at once."""
    tags = {**(tags or {}), EXTERNAL_TAG: "true"}
    model = initialize_logged_model(name, source_run_id, tags, params, model_type, experiment_id)
    return finalize_logged_model(model.model_id, "READY")


def finalize_logged_model(model_id: str, status: str) -> LoggedModel:
    """Say that a model's files are there ("READY"), or that saving them failed ("FAILED")."""
    return current_client().finalize_logged_model(model_id, status)


def get_logged_model(model_id: str) -> LoggedModel:
    """The logged model with this id. NotFound, also when it is deleted."""
    return current_client().get_logged_model(model_id)


def last_logged_model() -> LoggedModel | None:
    """The logged model that this thread made last, as it is now; None when it made none."""
    return None if _made.model_id is None else get_logged_model(_made.model_id)


def set_active_model(*, name: str | None = None, model_id: str | None = None) -> ActiveModel:
    """Let what this thread measures from now on be of this logged model, unless a call names one.

    By id, or by name: the latest of that name in the current experiment; one is made if there is
    none. As a context manager it holds for the block. NotFound; InvalidRequest for neither, or
    for an id whose model has another name.
    """
    if model_id is not None:
        model = get_logged_model(model_id)
        if name is not None and model.name != name:
            raise InvalidRequest(
                f"The logged model '{model_id}' is named {model.name!r}, not {name!r}: give one of "
                "'name' and 'model_id'."
            )
        return activate(model)
    if name is None:
        raise InvalidRequest("Give 'name' or 'model_id'.")
    check_logged_model_name("name", name)  # which makes it safe between quotes
    found = search_logged_models(
        filter_string=f"name = '{name}'", max_results=1, output_format="list"
    )
    return activate(found[0] if found else create_external_model(name))


@overload
def search_logged_models(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    datasets: Sequence[Mapping[str, str]] | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[Mapping[str, Any]] | None = ...,
    output_format: Literal["pandas"] = ...,
) -> pd.DataFrame: ...


@overload
def search_logged_models(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    datasets: Sequence[Mapping[str, str]] | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[Mapping[str, Any]] | None = ...,
    *,
    output_format: Literal["list"],
) -> list[LoggedModel]: ...


def search_logged_models(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    datasets: Sequence[Mapping[str, str]] | None = None,
    max_results: int | None = None,
    order_by: Sequence[Mapping[str, Any]] | None = None,
    output_format: str = "pandas",
) -> list[LoggedModel] | pd.DataFrame:
    """The logged models that a filter accepts, of these experiments or of the current one."""
    if output_format not in ("pandas", "list"):
        raise InvalidRequest(
            f"Invalid value {output_format!r} for 'output_format': expected 'pandas' or 'list'."
        )
    client = current_client()
    ids = experiment_ids or [current_experiment_id()]

    def fetch(size: int, token: str | None) -> tuple[list[LoggedModel], str | None]:
        page = client.search_logged_models(ids, filter_string, datasets, size, order_by, token)
        return page, page.token

    found = every_page(fetch, max_results, 50)
    return found if output_format == "list" else logged_models_frame(found)


def set_logged_model_tags(model_id: str, tags: Mapping[str, Any]) -> None:
    """Write tags of a logged model, over what was there. NotFound."""
    current_client().set_logged_model_tags(model_id, tags)


def delete_logged_model_tag(model_id: str, key: str) -> None:
    """Remove a tag of a logged model. NotFound, also when the tag is not there."""
    current_client().delete_logged_model_tag(model_id, key)


def log_model_params(params: Mapping[str, str], model_id: str | None = None) -> None:
    """Write parameters of a logged model (the active one), each once. NotFound."""
    model_id = model_id or get_active_model_id()
    if model_id is None:
        raise InvalidRequest("Give 'model_id', or set_active_model(...) first: no model is active.")
    current_client().log_model_params(model_id, params)


def _origin() -> dict[str, str]:
    """Who makes a model, and with which code; the rest is noted on its run."""
    return {key: value for key, value in context_tags().items() if key.startswith("mlflow.")}


def _source_of(client: Client, uri: str) -> tuple[str, str | None, str | None]:
    """Where the files of a version come from, and the run and logged model behind them."""
    scheme = scheme_of(uri)
    if scheme == "models":
        named = parse_models_uri(uri)
        if isinstance(named, LoggedModelUri):
            model = client.get_logged_model(named.model_id)
            return uri, model.source_run_id, model.model_id
        version = client._registered_version(named)
        source = f"models:/{version.name}/{version.version}"
        return source, version.run_id or None, version.model_id
    if scheme != "runs":
        return uri, None, None
    named_run = parse_run_uri(uri)
    place = client._run_place(named_run.run_id).below(named_run.path)
    run = client.get_run(named_run.run_id)
    if any(entry.path == MODEL_FILE for entry in place.store.list(place.path)):
        return join(run.info.artifact_uri, named_run.path), named_run.run_id, None
    models = client._models_of_run(named_run.run_id, named_run.path)
    if not models:
        raise NotFound(
            f"The run '{named_run.run_id}' has no model at '{named_run.path}': neither a folder "
            f"with the file {MODEL_FILE}, nor a logged model of that name."
        )
    steps = {output.model_id: output.step for output in run.outputs.model_outputs}
    model_id = max(models, key=lambda model: steps.get(model.info.model_id, -1)).info.model_id
    return f"models:/{model_id}", named_run.run_id, model_id
