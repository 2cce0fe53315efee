"""The client's calls about runs: their life, what they log, what they take in and make."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any, NamedTuple

from headrace.client import tracking, values
from headrace.client.connection import Connection
from headrace.client.entities import PagedList, Run, RunData, by_key, run_from_wire
from headrace.client.entries import InputsLogged, Logged, OutputsLogged, RunCreated, RunUpdated
from headrace.client.run import LogOperation, operation, started_run_info
from headrace.client.values import batches, checked, identifier, whole
from headrace.errors import HeadraceError, InvalidRequest, is_servers_fault
from headrace.protocol import datasets, metrics, runs
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID, ExperimentRef
from headrace.protocol.random_names import random_name
from headrace.protocol.wire import Param, Tag

HISTORY_PAGE = 25_000
"""Points of a metric asked for at a time."""


class ChosenExperiment(NamedTuple):
    """The experiment that new runs go to: its id, or, before the server was reached, its name."""

    experiment_id: str | None
    name: str | None = None


class RunCalls(Connection):
    """Runs.

    What writes to a run (creating and ending it, metrics, parameters, tags, inputs, outputs)
    returns at once and waits for no server: see Outbox. What the store refuses of it is reported
    in a warning, or raised where a call is `synchronous`. All else asks the store, and sees what
    this process has written; see RunStore for what it raises.
    """

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """Begin a run, RUNNING since `start_time` (ms since 1970; now, for None).

        It has its id at once, with or without a server. NotFound when there is no such experiment,
        InvalidRequest when it is deleted, where the server can be asked quickly.
        """
        request = self._new_run(experiment_id, start_time, tags, run_name)
        self._check_experiment(request.experiment_id)
        return self._begin(request)

    def get_run(self, run_id: str) -> Run:
        """The run with this id, deleted or not. NotFound."""
        return run_from_wire(self._store.runs.get(self._run_ref(run_id)).run)

    def get_parent_run(self, run_id: str) -> Run | None:
        """The run that this one is nested in; None when there is none. NotFound."""
        parent = self.get_run(run_id).data.tags.get(runs.PARENT_RUN_TAG)
        return self.get_run(parent) if parent else None

    def search_runs(
        self,
        experiment_ids: Sequence[str] | str,
        filter_string: str = "",
        run_view_type: int | str = 1,
        max_results: int = 1000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Run]:
        """A page of runs that a filter accepts, newest first unless `order_by` says else."""
        ids = [experiment_ids] if isinstance(experiment_ids, str | int) else experiment_ids
        request = checked(
            runs.SearchRuns,
            experiment_ids=[identifier(experiment_id) for experiment_id in ids],
            filter=filter_string or None,
            run_view_type=run_view_type,
            max_results=max_results,
            order_by=None if order_by is None else list(order_by),
            page_token=page_token,
        )
        page = self._store.runs.search(request)
        return PagedList([run_from_wire(run) for run in page.runs], page.next_page_token)

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Change a run's status or name; what is None stays."""
        request = checked(runs.UpdateRun, run_id=run_id, status=status, run_name=name)
        self._outbox.write(RunUpdated(request))

    def set_terminated(
        self, run_id: str, status: str | None = None, end_time: int | None = None
    ) -> None:
        """End a run; FINISHED and now by default. No value that was logged comes after its end."""
        request = checked(
            runs.UpdateRun,
            run_id=run_id,
            status=status or runs.RunStatus.FINISHED.value,
            end_time=values.now() if end_time is None else whole(end_time),
        )
        self._outbox.write(RunUpdated(request))

    def delete_run(self, run_id: str) -> None:
        """Delete a run; `restore_run` brings it back. NotFound."""
        self._store.runs.delete(self._run_ref(run_id))

    def restore_run(self, run_id: str) -> None:
        """Restore a deleted run. NotFound."""
        self._store.runs.restore(self._run_ref(run_id))

    def log_metric(  # noqa: PLR0913, PLR0917  (MLflow's signature)
        self,
        run_id: str,
        key: str,
        value: float,
        timestamp: int | None = None,
        step: int | None = None,
        synchronous: bool | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        model_id: str | None = None,
    ) -> LogOperation | None:
        """Add a point of a metric; `timestamp` in ms since 1970 (now, for None)."""
        if model_id is None and dataset_name is None and dataset_digest is None:
            series: tuple[str | None, ...] = (run_id, key)
        else:
            series = (run_id, key, model_id, dataset_name, dataset_digest)
        self._outbox.point(
            series,
            value if type(value) is float else values.number(key, value),
            time_ns() // 1_000_000 if timestamp is None else whole(timestamp),
            0 if step is None else step if type(step) is int else whole(step),
        )
        return operation(self._outbox, synchronous)

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Write a parameter, once, as text; gives `value` back, or an operation to wait for."""
        checked(runs.LogParam, run_id=run_id, key=key, value=str(value))
        param = Param(key, str(value))
        self._outbox.write(Logged(runs.LogBatch(run_id=run_id, params=[param])))
        return operation(self._outbox, synchronous) or value

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[metrics.Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
        synchronous: bool | None = None,
    ) -> LogOperation | None:
        """Log any number of metrics, parameters and tags. What is wrong with one raises for all."""
        self._log_fields(
            run_id,
            [values.point_fields(metric) for metric in metrics],
            values.pair_fields(params),
            values.pair_fields(tags),
        )
        return operation(self._outbox, synchronous)

    def set_tag(
        self, run_id: str, key: str, value: Any, synchronous: bool | None = None
    ) -> LogOperation | None:
        """Write a tag of a run as text, over what was there."""
        checked(runs.SetTag, run_id=run_id, key=key, value=str(value))
        tag = Tag(key, str(value))
        self._outbox.write(Logged(runs.LogBatch(run_id=run_id, tags=[tag])))
        return operation(self._outbox, synchronous)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a tag of a run. NotFound, also when the tag is not there."""
        store = self._store
        run_id = self._run_ref(run_id).run_id
        store.runs.delete_tag(checked(runs.DeleteTag, run_id=run_id, key=key))

    def get_metric_history(self, run_id: str, key: str) -> list[metrics.Metric]:
        """All points of a metric, by time, step and value. NotFound when the run is not there."""
        store = self._store
        run_id = self._run_ref(run_id).run_id

        def fetch(size: int, token: str | None) -> tuple[list[metrics.Metric], str | None]:
            request = checked(
                metrics.GetMetricHistory,
                run_id=run_id,
                metric_key=key,
                max_results=size,
                page_token=token,
            )
            page = store.metrics.history(request)
            return page.metrics, page.next_page_token

        return values.every_page(fetch, None, HISTORY_PAGE)

    def log_inputs(
        self,
        run_id: str,
        datasets: Sequence[datasets.DatasetInput] | None = None,
        models: Sequence[datasets.ModelInput] | None = None,
    ) -> None:
        """Note data sets and logged models that a run takes in."""
        self._log_inputs(run_id, list(datasets or ()), list(models or ()))

    def log_outputs(self, run_id: str, models: Sequence[datasets.ModelOutput]) -> None:
        """Note logged models that a run makes."""
        made = [{"model_id": model.model_id, "step": whole(model.step)} for model in models]
        request = checked(datasets.LogOutputs, run_id=run_id, models=made)
        self._outbox.write(OutputsLogged(request))

    def _log_inputs(self, run_id: str, taken: list[Any], models: list[Any]) -> None:
        request = checked(
            datasets.LogInputs,
            run_id=run_id,
            datasets=[_input_fields(entry) for entry in taken],
            models=[{"model_id": model.model_id} for model in models],
        )
        self._outbox.write(InputsLogged(request))

    def _log_fields(
        self,
        run_id: str,
        metrics: list[dict[str, Any]],
        params: list[dict[str, Any]],
        tags: list[dict[str, Any]],
    ) -> None:
        """Check everything, then append it."""
        entries = [
            checked(runs.LogBatch, run_id=run_id, **batch)
            for batch in batches(metrics, params, tags)
        ]
        for entry in entries:
            points, entry.metrics = entry.metrics, []
            if entry.params or entry.tags:
                self._outbox.write(Logged(entry))
            for point in points:
                links = (point.model_id, point.dataset_name, point.dataset_digest)
                series = (run_id, point.key, *links) if any(links) else (run_id, point.key)
                self._outbox.point(series, float(point.value), point.timestamp, point.step)

    def _create_run_in(
        self, chosen: ChosenExperiment, tags: Mapping[str, Any], run_name: str | None
    ) -> Run:
        """Begin a run in an experiment that was chosen before; no server is asked.

        One that is known only by name is made when it is not there.
        """
        if chosen.experiment_id is not None:
            return self._begin(self._new_run(chosen.experiment_id, None, tags, run_name))
        request = self._new_run(DEFAULT_EXPERIMENT_ID, None, tags, run_name)
        return self._begin(request, chosen.name)

    def _new_run(
        self,
        experiment_id: str,
        start_time: int | None,
        tags: Mapping[str, Any] | None,
        run_name: str | None,
    ) -> runs.CreateRun:
        tag_list = values.pairs("tags", tags)
        user = next((tag["value"] for tag in tag_list if tag["key"] == runs.USER_TAG), None)
        return checked(
            runs.CreateRun,
            experiment_id=identifier(experiment_id),
            start_time=values.now() if start_time is None else whole(start_time),
            tags=tag_list,
            run_name=run_name,
            user_id=user,
            # Chosen here, so that it is known at once, and creating it twice makes one run.
            run_id=os.urandom(16).hex(),
        )

    def _begin(self, request: runs.CreateRun, experiment_name: str | None = None) -> Run:
        """Begin a run whose experiment is known by id or by name."""
        run_id = request.run_id or ""
        named = next((tag.value for tag in request.tags if tag.key == runs.RUN_NAME_TAG), None)
        request.run_name = request.run_name or named or random_name()
        if named is None:
            request.tags = [*request.tags, Tag(runs.RUN_NAME_TAG, request.run_name)]
        tracking.close_at_exit()
        self._outbox.write(RunCreated(request, experiment_name))
        known = runs.RunInfo(
            run_id=run_id,
            run_uuid=run_id,
            experiment_id="" if experiment_name is not None else request.experiment_id,
            run_name=request.run_name,
            user_id=request.user_id or "",
            status=runs.RunStatus.RUNNING,
            start_time=request.start_time or values.now(),
            artifact_uri="",
            lifecycle_stage="active",
        )
        info = started_run_info(known, lambda: self.get_run(run_id).info)
        return Run(info, RunData({}, {}, by_key(request.tags)))

    def _check_experiment(self, experiment_id: str) -> None:
        """Refuse an experiment that is not there, if the server can be asked quickly."""
        known = (self._tracking_uri, experiment_id)
        if experiment_id == DEFAULT_EXPERIMENT_ID or known in _known_experiments:
            return
        try:
            store = tracking.quick_store_for(self._tracking_uri)
            experiment = store.experiments.get(
                ExperimentRef(experiment_id=experiment_id)
            ).experiment
        except HeadraceError as error:
            if not is_servers_fault(error):
                raise
            tracking.note_away(self._tracking_uri)
            return
        if experiment.lifecycle_stage != "active":
            raise InvalidRequest(
                f"The experiment '{experiment_id}' is deleted; restore it before adding runs."
            )
        _known_experiments.add(known)


_known_experiments: set[tuple[str, str]] = set()


def _input_fields(entry: Any) -> dict[str, Any]:
    """A DatasetInput, ours or MLflow's, as fields that can be checked."""
    dataset = getattr(entry, "dataset", None)
    if dataset is None:
        raise InvalidRequest(
            f"Invalid value of type {type(entry).__name__} in 'datasets': expected a DatasetInput, "
            "with a 'dataset' and 'tags'."
        )
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    fields = {name: getattr(dataset, name, None) for name in names}
    return {
        "dataset": {name: value for name, value in fields.items() if value is not None},
        "tags": values.pair_fields(getattr(entry, "tags", None) or ()),
    }
