"""The fluent API: experiments, and the one that new runs go to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace import settings
from headrace.client import tracking
from headrace.client.client import current_client
from headrace.client.entities import Experiment
from headrace.client.values import every_page
from headrace.errors import AlreadyExists, InvalidRequest
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID

# The experiment that set_experiment chose, by tracking URI: ids mean nothing elsewhere.
_chosen: dict[str, str] = {}


def set_experiment(
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    trace_location: None = None,
) -> Experiment:
    """Let new runs go to this experiment, named by name, then made if need be, or by id.

    Processes started from this one take it over. NotFound for an unknown id; InvalidRequest for
    a deleted experiment. `trace_location` must be left out.
    """
    if trace_location is not None:
        raise InvalidRequest("'trace_location' is of use on Databricks only; leave it out.")
    if (experiment_name is None) == (experiment_id is None):
        raise InvalidRequest("Give either 'experiment_name' or 'experiment_id', and not both.")
    if experiment_name is not None:
        experiment = _get_or_create(experiment_name)
    else:
        experiment = current_client().get_experiment(experiment_id or "")
    if experiment.lifecycle_stage != "active":
        raise InvalidRequest(
            f"The experiment '{experiment.name}' is deleted: restore it with "
            f"restore_experiment('{experiment.experiment_id}'), or take another name."
        )
    _chosen[tracking.get_tracking_uri()] = experiment.experiment_id
    tracking.hand_down_experiment(experiment.experiment_id)
    return experiment


def current_experiment_id() -> str:
    """The id of the experiment that new runs go to.

    That of `set_experiment`, else of the environment (by id, then by name), else "0".
    """
    chosen = _chosen.get(tracking.get_tracking_uri())
    if chosen is not None:
        return chosen
    by_id = settings.EXPERIMENT_ID.get()
    if by_id is not None:
        return by_id
    by_name = settings.EXPERIMENT_NAME.get()
    if by_name is not None:
        return _get_or_create(by_name).experiment_id
    return DEFAULT_EXPERIMENT_ID


def create_experiment(
    name: str,
    artifact_location: str | None = None,
    tags: Mapping[str, Any] | None = None,
    trace_location: None = None,
) -> str:
    """Make an experiment and give its id. AlreadyExists. `trace_location` must be left out."""
    if trace_location is not None:
        raise InvalidRequest("'trace_location' is of use on Databricks only; leave it out.")
    return current_client().create_experiment(name, artifact_location, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """The experiment with this id, deleted or not. NotFound."""
    return current_client().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """The experiment with this name, deleted or not; None when there is none."""
    return current_client().get_experiment_by_name(name)


def search_experiments(
    view_type: int | str = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[Experiment]:
    """The experiments that a filter accepts, all of them or the first `max_results`."""
    client = current_client()

    def fetch(size: int, token: str | None) -> tuple[list[Experiment], str | None]:
        page = client.search_experiments(view_type, size, filter_string, order_by, token)
        return page, page.token

    return every_page(fetch, max_results, 1000)


def delete_experiment(experiment_id: str) -> None:
    """Delete an experiment and its runs; `restore_experiment` brings them back. NotFound."""
    current_client().delete_experiment(experiment_id)


def restore_experiment(experiment_id: str) -> None:
    """Restore a deleted experiment and the runs that were deleted with it. NotFound."""
    current_client().restore_experiment(experiment_id)


def set_experiment_tag(key: str, value: Any) -> None:
    """Write a tag of the experiment that new runs go to, over what was there."""
    current_client().set_experiment_tag(current_experiment_id(), key, value)


def set_experiment_tags(tags: Mapping[str, Any]) -> None:
    """Write tags of the experiment that new runs go to, one after the other."""
    for key, value in tags.items():
        set_experiment_tag(key, value)


def delete_experiment_tag(key: str) -> None:
    """Remove a tag of the experiment that new runs go to. NotFound."""
    current_client().delete_experiment_tag(current_experiment_id(), key)


def _get_or_create(name: str) -> Experiment:
    client = current_client()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found
    try:
        return client.get_experiment(client.create_experiment(name))
    except AlreadyExists:
        # Another process was faster.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found
