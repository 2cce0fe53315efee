"""The client's calls about runs: their life, what they log, what they take in and make."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.client import values
from headrace.client.connection import Connection
from headrace.client.entities import PagedList, Run, run_from_wire
from headrace.client.run import LogOperation, batches, operation
from headrace.client.values import checked, identifier, whole
from headrace.errors import InvalidRequest
from headrace.protocol import datasets, metrics, runs
from headrace.protocol.wire import Param, Tag

HISTORY_PAGE = 25_000
"""Points of a metric asked for at a time."""


class RunCalls(Connection):
    """Runs. See RunStore for what can be raised; a deleted run cannot be written."""

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """Make a run, RUNNING since `start_time` (ms since 1970; now, for None). NotFound."""
        tag_list = values.pairs("tags", tags)
        user = next((tag["value"] for tag in tag_list if tag["key"] == runs.USER_TAG), None)
        request = checked(
            runs.CreateRun,
            experiment_id=identifier(experiment_id),
            start_time=values.now() if start_time is None else whole(start_time),
            tags=tag_list,
            run_name=run_name,
            user_id=user,
            # Chosen here, so that asking twice after a lost answer makes one run.
            run_id=os.urandom(16).hex(),
        )
        made = self._store.runs.create(request).run
        self._artifact_uris[made.info.run_id] = made.info.artifact_uri
        return run_from_wire(made)

    def get_run(self, run_id: str) -> Run:
        """The run with this id, deleted or not. NotFound."""
        return run_from_wire(self._store.runs.get(_ref(run_id)).run)

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
        """Change a run's status or name; what is None stays. NotFound."""
        self._store.runs.update(
            checked(runs.UpdateRun, run_id=run_id, status=status, run_name=name)
        )

    def set_terminated(
        self, run_id: str, status: str | None = None, end_time: int | None = None
    ) -> None:
        """End a run, after all that was logged to it is stored; FINISHED and now by default."""
        request = checked(
            runs.UpdateRun,
            run_id=run_id,
            status=status or runs.RunStatus.FINISHED.value,
            end_time=values.now() if end_time is None else whole(end_time),
        )
        self._logger.flush(run_id)
        self._store.runs.update(request)

    def delete_run(self, run_id: str) -> None:
        """Delete a run; `restore_run` brings it back. NotFound."""
        self._store.runs.delete(_ref(run_id))

    def restore_run(self, run_id: str) -> None:
        """Restore a deleted run. NotFound."""
        self._store.runs.restore(_ref(run_id))

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
        self._logger.write(
            checked(
                metrics.LogMetric,
                run_id=run_id,
                key=key,
                value=values.number(key, value),
                timestamp=values.now() if timestamp is None else whole(timestamp),
                step=0 if step is None else whole(step),
                dataset_name=dataset_name,
                dataset_digest=dataset_digest,
                model_id=model_id,
            )
        )
        return operation(synchronous)

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Write a parameter, once, as text; gives `value` back, or an operation to wait for."""
        self._logger.write(checked(runs.LogParam, run_id=run_id, key=key, value=str(value)))
        return operation(synchronous) or value

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[metrics.Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
        synchronous: bool | None = None,
    ) -> LogOperation | None:
        """Log any number of metrics, parameters and tags.

        All or nothing up to 1,000 metrics, 100 parameters and 100 tags; more are sent in several
        batches, one after the other, of which each is stored or not.
        """
        self._log_fields(
            run_id,
            [values.point_fields(metric) for metric in metrics],
            values.pair_fields(params),
            values.pair_fields(tags),
        )
        return operation(synchronous)

    def set_tag(
        self, run_id: str, key: str, value: Any, synchronous: bool | None = None
    ) -> LogOperation | None:
        """Write a tag of a run as text, over what was there."""
        self._logger.write(checked(runs.SetTag, run_id=run_id, key=key, value=str(value)))
        return operation(synchronous)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a tag of a run. NotFound, also when the tag is not there."""
        self._logger.flush(run_id)
        self._store.runs.delete_tag(checked(runs.DeleteTag, run_id=run_id, key=key))

    def get_metric_history(self, run_id: str, key: str) -> list[metrics.Metric]:
        """All points of a metric, by time, step and value. NotFound when the run is not there."""

        def fetch(size: int, token: str | None) -> tuple[list[metrics.Metric], str | None]:
            request = checked(
                metrics.GetMetricHistory,
                run_id=run_id,
                metric_key=key,
                max_results=size,
                page_token=token,
            )
            page = self._store.metrics.history(request)
            return page.metrics, page.next_page_token

        return values.every_page(fetch, None, HISTORY_PAGE)

    def log_inputs(
        self,
        run_id: str,
        datasets: Sequence[datasets.DatasetInput] | None = None,
        models: Sequence[datasets.ModelInput] | None = None,
    ) -> None:
        """Note data sets and logged models that a run takes in. NotFound."""
        self._log_inputs(run_id, list(datasets or ()), list(models or ()))

    def log_outputs(self, run_id: str, models: Sequence[datasets.ModelOutput]) -> None:
        """Note logged models that a run makes. NotFound."""
        made = [{"model_id": model.model_id, "step": whole(model.step)} for model in models]
        self._store.datasets.log_outputs(checked(datasets.LogOutputs, run_id=run_id, models=made))

    def _log_inputs(self, run_id: str, taken: list[Any], models: list[Any]) -> None:
        request = checked(
            datasets.LogInputs,
            run_id=run_id,
            datasets=[_input_fields(entry) for entry in taken],
            models=[{"model_id": model.model_id} for model in models],
        )
        self._store.datasets.log_inputs(request)

    def _log_fields(
        self,
        run_id: str,
        metrics: list[dict[str, Any]],
        params: list[dict[str, Any]],
        tags: list[dict[str, Any]],
    ) -> None:
        """Check everything, then write it in as many batches as it takes."""
        entries = [
            checked(runs.LogBatch, run_id=run_id, **batch)
            for batch in batches(metrics, params, tags)
        ]
        for entry in entries:
            self._logger.write(entry)


def _ref(run_id: Any) -> runs.RunRef:
    return checked(runs.RunRef, run_id=run_id)


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
