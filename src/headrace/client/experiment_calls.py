"""The client's calls about experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.client import values
from headrace.client.connection import Connection
from headrace.client.entities import Experiment, PagedList, experiment_from_wire
from headrace.client.values import checked, identifier
from headrace.errors import NotFound
from headrace.protocol import experiments as wire


class ExperimentCalls(Connection):
    """Experiments: the folders that runs live in. See ExperimentStore for what can be raised."""

    def create_experiment(
        self,
        name: str,
        artifact_location: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an experiment and give its id. AlreadyExists when the name is taken."""
        request = checked(
            wire.CreateExperiment,
            name=name,
            artifact_location=None if artifact_location is None else str(artifact_location),
            tags=values.pairs("tags", tags),
        )
        return self._store.experiments.create(request).experiment_id

    def get_experiment(self, experiment_id: str) -> Experiment:
        """The experiment with this id, deleted or not. NotFound."""
        answer = self._store.experiments.get(_ref(experiment_id))
        return experiment_from_wire(answer.experiment)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """The experiment with this name, deleted or not; None when there is none."""
        try:
            answer = self._store.experiments.get_by_name(
                checked(wire.ExperimentByName, experiment_name=name)
            )
        except NotFound:
            return None
        return experiment_from_wire(answer.experiment)

    def search_experiments(
        self,
        view_type: int | str = 1,
        max_results: int | None = 1000,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Experiment]:
        """A page of experiments that a filter accepts, newest first unless `order_by` says else."""
        request = checked(
            wire.SearchExperiments,
            view_type=view_type,
            max_results=1000 if max_results is None else max_results,
            filter=filter_string,
            order_by=None if order_by is None else list(order_by),
            page_token=page_token,
        )
        page = self._store.experiments.search(request)
        found = [experiment_from_wire(experiment) for experiment in page.experiments]
        return PagedList(found, page.next_page_token)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Give an experiment a new name. NotFound; AlreadyExists."""
        self._store.experiments.update(
            checked(
                wire.UpdateExperiment, experiment_id=identifier(experiment_id), new_name=new_name
            )
        )

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment and its runs; `restore_experiment` brings them back. NotFound."""
        self._store.experiments.delete(_ref(experiment_id))

    def restore_experiment(self, experiment_id: str) -> None:
        """Restore a deleted experiment and the runs that were deleted with it. NotFound."""
        self._store.experiments.restore(_ref(experiment_id))

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        """Write a tag of an experiment, over what was there. NotFound."""
        self._store.experiments.set_tag(
            checked(
                wire.SetExperimentTag,
                experiment_id=identifier(experiment_id),
                key=key,
                value=str(value),
            )
        )

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove a tag of an experiment. NotFound, also when the tag is not there."""
        self._store.experiments.delete_tag(
            checked(wire.DeleteExperimentTag, experiment_id=identifier(experiment_id), key=key)
        )


def _ref(experiment_id: Any) -> wire.ExperimentRef:
    return checked(wire.ExperimentRef, experiment_id=identifier(experiment_id))
