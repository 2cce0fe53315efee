"""The fluent API: experiments, and the one that new runs go to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace import settings
from headrace.client import tracking
from headrace.client.client import current_client
from headrace.client.entities import Experiment
from headrace.client.experiment_calls import ExperimentCalls
from headrace.client.run_calls import ChosenExperiment
from headrace.client.values import checked, every_page
from headrace.errors import AlreadyExists, HeadraceError, InvalidRequest, is_servers_fault
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID, CreateExperiment
from headrace.store.base import Store

# The experiment that set_experiment chose, by tracking URI: ids mean nothing elsewhere.
_chosen: dict[str, ChosenExperiment] = {}
_log: Final = logging.getLogger("headrace")


def set_experiment(
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    trace_location: None = None,
) -> Experiment:
    """Let new runs go to this experiment, named by name, then made if need be, or by id.

    Processes started from this one take it over. NotFound for an unknown id; InvalidRequest for
    a deleted experiment. When the server does not answer quickly, an experiment named by name is
    found, or made, as soon as it does; its id is empty meanwhile. `trace_location` must be left
    out.
    """
    if trace_location is not None:
        raise InvalidRequest("'trace_location' is of use on Databricks only; leave it out.")
    if (experiment_name is None) == (experiment_id is None):
        raise InvalidRequest("Give either 'experiment_name' or 'experiment_id', and not both.")
    if experiment_name is not None:
        checked(CreateExperiment, name=experiment_name)
    uri = tracking.get_tracking_uri()
    try:
        experiment = _look_up(uri, experiment_name, experiment_id)
    except HeadraceError as error:
        if not is_servers_fault(error):
            raise
        tracking.note_away(uri)
        return _choose_unseen(uri, experiment_name, experiment_id, error)
    if experiment.lifecycle_stage != "active":
        raise InvalidRequest(
            f"The experiment '{experiment.name}' is deleted: restore it with "
            f"restore_experiment('{experiment.experiment_id}'), or take another name."
        )
    _chosen[uri] = ChosenExperiment(experiment.experiment_id, experiment.name)
    tracking.hand_down_experiment(experiment.experiment_id)
    return experiment


def current_choice() -> ChosenExperiment:
    """The experiment that new runs go to, by id where it is known; no server is asked.

    That of `set_experiment`, else of the environment (by id, then by name), else "0".
    """
    chosen = _chosen.get(tracking.get_tracking_uri())
    if chosen is not None:
        return chosen
    by_id = settings.EXPERIMENT_ID.get()
    if by_id is not None:
        return ChosenExperiment(by_id)
    by_name = settings.EXPERIMENT_NAME.get()
    if by_name is not None:
        return ChosenExperiment(None, by_name)
    return ChosenExperiment(DEFAULT_EXPERIMENT_ID)


def current_experiment_id() -> str:
    """The id of the experiment that new runs go to. See `current_choice`; asks for it by name."""
    choice = current_choice()
    if choice.experiment_id is not None:
        return choice.experiment_id
    experiment_id = _get_or_create(current_client(), choice.name or "").experiment_id
    _chosen[tracking.get_tracking_uri()] = ChosenExperiment(experiment_id, choice.name)
    return experiment_id


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


def _look_up(uri: str, name: str | None, experiment_id: str | None) -> Experiment:
    """The experiment, asked for in a way that holds up nobody for long. Raises Unavailable."""
    quick = QuickExperiments(uri)
    if name is None:
        return quick.get_experiment(experiment_id or "")
    return _get_or_create(quick, name)


class QuickExperiments(ExperimentCalls):
    """Calls about experiments that give up soon when a server does not answer."""

    @property
    def _store(self) -> Store:
        return tracking.quick_store_for(self._tracking_uri)


def _choose_unseen(
    uri: str, name: str | None, experiment_id: str | None, error: HeadraceError
) -> Experiment:
    """Choose an experiment that the server could not be asked for."""
    _chosen[uri] = ChosenExperiment(experiment_id if name is None else None, name)
    if name is None:
        tracking.hand_down_experiment(experiment_id or "")
    else:
        tracking.hand_down_experiment_name(name)
    if not settings.OFFLINE.get_bool(False):
        _log.warning(
            "The experiment %s is chosen unseen, for nobody could be asked: %s",
            repr(name) if name is not None else experiment_id,
            error,
        )
    return Experiment(experiment_id or "", name or "", "", "active", 0, 0, {})


def _get_or_create(client: ExperimentCalls, name: str) -> Experiment:
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
