"""Runs of MLflow's database, a page at a time, with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from headrace.errors import InvalidState
from headrace.protocol.datasets import Dataset, DatasetInput, ModelInput, ModelOutput
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import Run, RunData, RunInfo, RunInputs, RunOutputs
from headrace.protocol.wire import Param, Tag
from headrace.sync.mlflow_tables import MlflowTables, grouped, marks, pages
from headrace.sync.mlflow_values import metric_value, run_name, run_status, user_id

_PAGE: Final = 100
_POINTS: Final = 10_000

_RUN: Final = (
    *("run_uuid", "name", "user_id", "status", "start_time", "end_time"),
    *("artifact_uri", "lifecycle_stage"),
)
_DATASET: Final = (
    *("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source"),
    *("dataset_schema", "dataset_profile"),
)
_LATEST: Final = ("run_uuid", "key", "value", "is_nan", "timestamp", "step")
_POINT: Final = ("step", "timestamp", "value", "is_nan")


def read_runs(
    tables: MlflowTables, experiment_id: str, complain: Callable[[str], None]
) -> Iterator[Run]:
    """The runs of an experiment by id; one that makes no sense is told to `complain`."""
    number = int(experiment_id)
    for page in tables.pages("runs", _RUN, "experiment_id = ?", number, size=_PAGE):
        content = _PageContent(tables, [row[0] for row in page])
        for row in page:
            try:
                yield content.run(experiment_id, row)
            # SQLite keeps a text where a number should be, if somebody writes one.
            except (InvalidState, TypeError, ValueError) as error:
                complain(f"The run {row[0]} is left out: {error}.")


class _PageContent:
    """What belongs to the runs of one page, by run."""

    def __init__(self, tables: MlflowTables, ids: list[str]) -> None:
        of_page = f"WHERE run_uuid IN ({marks(ids)})"
        values = ("run_uuid", "key", "value")
        self._latest = grouped(tables.select("latest_metrics", _LATEST, of_page, *ids))
        self._params = grouped(tables.select("params", values, of_page, *ids))
        self._tags = grouped(tables.select("tags", values, of_page, *ids))
        self._datasets = _datasets(tables, ids)
        self._models = grouped(_models(tables, ids))

    def run(self, experiment_id: str, row: Any) -> Run:
        """The run of one row. InvalidState, TypeError, ValueError for what can be none."""
        run_id, name, user, status, start, end, artifact_uri, stage = row
        tags = [Tag(key, value or "") for key, value in self._tags.get(run_id, [])]
        links = self._models.get(run_id, [])
        outputs = [ModelOutput(model, step or 0) for way, model, step in links if way == "OUT"]
        return Run(
            info=RunInfo(
                run_id=run_id,
                run_uuid=run_id,
                experiment_id=experiment_id,
                run_name=run_name(name, tags),
                user_id=user_id(user, tags),
                status=run_status(status),
                start_time=start or 0,
                end_time=end,
                artifact_uri=artifact_uri or "",
                lifecycle_stage=stage or "active",
            ),
            data=RunData(
                metrics=[
                    Metric(key, metric_value(value, is_nan), timestamp or 0, step or 0)
                    for key, value, is_nan, timestamp, step in self._latest.get(run_id, [])
                ],
                params=[Param(key, value or "") for key, value in self._params.get(run_id, [])],
                tags=tags,
            ),
            inputs=RunInputs(
                dataset_inputs=self._datasets.get(run_id, []),
                model_inputs=[ModelInput(model) for way, model, _ in links if way == "IN"],
            ),
            outputs=RunOutputs(outputs) if outputs else None,
        )


def _datasets(tables: MlflowTables, run_ids: Sequence[str]) -> dict[str, list[DatasetInput]]:
    """The data sets that runs took in; each is held once, however many runs it went into."""
    of_page = (
        "inputs.source_type = 'DATASET' AND inputs.destination_type = 'RUN' "
        f"AND inputs.destination_id IN ({marks(run_ids)})"
    )
    used = tables.select(
        "inputs", ("destination_id", "input_uuid", "source_id"), f"WHERE {of_page}", *run_ids
    )
    if not used:
        return {}
    in_page = f"(SELECT source_id FROM inputs WHERE {of_page})"  # noqa: S608 - only marks are put in
    known = {
        dataset_id: Dataset(name, digest, kind or "", source or "", schema, profile)
        for dataset_id, name, digest, kind, source, schema, profile in tables.select(
            "datasets", _DATASET, f"WHERE dataset_uuid IN {in_page}", *run_ids
        )
    }
    tags = grouped(
        tables.query(
            ("inputs", "input_tags"),
            "SELECT input_tags.input_uuid, input_tags.name, input_tags.value FROM inputs "  # noqa: S608 - only marks are put in
            f"JOIN input_tags ON input_tags.input_uuid = inputs.input_uuid WHERE {of_page}",
            *run_ids,
        )
    )
    found: dict[str, list[DatasetInput]] = {}
    for run_id, input_id, dataset_id in used:
        if dataset_id in known:
            its_tags = [Tag(key, value or "") for key, value in tags.get(input_id, [])]
            found.setdefault(run_id, []).append(DatasetInput(known[dataset_id], its_tags))
    return found


def _models(tables: MlflowTables, run_ids: Sequence[str]) -> list[Any]:
    """(run id, IN or OUT, model id, step) of the logged models that runs took in or made."""
    step = tables.pick("inputs", "step")
    of_page = f"inputs.source_id IN ({marks(run_ids)})"
    return tables.query(
        ("inputs",),
        f"SELECT source_id, 'IN', destination_id, {step} FROM inputs "  # noqa: S608 - only marks and our names
        f"WHERE source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT' AND {of_page} "
        f"UNION ALL SELECT source_id, 'OUT', destination_id, {step} FROM inputs "
        f"WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT' AND {of_page}",
        *run_ids,
        *run_ids,
    )


class Histories:
    """Points of metrics, with the logged models and data sets that they were measured on.

    MLflow keeps those in a table apart, with no index on the run; so which models a run has
    points of is asked once for all runs.
    """

    def __init__(self, tables: MlflowTables) -> None:
        self._tables = tables
        self._models: dict[str, list[str]] | None = None

    def read(self, run_id: str, key: str) -> Iterator[Metric]:
        """The points of a metric by step; a point of several logged models, once for each."""
        of_metric = "WHERE run_uuid = ? AND key = ?"
        order = ", ".join(_POINT)
        end = f"ORDER BY {order} LIMIT {_POINTS}"
        first = self._tables.select("metrics", _POINT, f"{of_metric} {end}", run_id, key)

        def after(last: Any) -> list[Any]:
            where = f"{of_metric} AND ({order}) > (?, ?, ?, ?) {end}"
            return self._tables.select("metrics", _POINT, where, run_id, key, *last)

        for page in pages(_POINTS, first, after):
            links = self._links(run_id, key, page)
            for step, timestamp, stored, is_nan in page:
                value = metric_value(stored, is_nan)
                of_models = [
                    link
                    for measured, *link in links.get((step, timestamp), [])
                    if is_nan or measured == stored
                ]
                for model, dataset, digest in of_models or [(None, None, None)]:
                    yield Metric(
                        key,
                        value,
                        timestamp,
                        step,
                        model_id=model,
                        dataset_name=dataset,
                        dataset_digest=digest,
                    )

    def _links(self, run_id: str, key: str, page: list[Any]) -> dict[tuple[int, int], list[Any]]:
        """Per (step, timestamp) of a page: value, model, data set's name and digest."""
        models = self._models_of(run_id)
        if not models:
            return {}
        times = [row[1] for row in page]
        rows = self._tables.select(
            "logged_model_metrics",
            (
                *("metric_step", "metric_timestamp_ms", "metric_value"),
                *("model_id", "dataset_name", "dataset_digest"),
            ),
            f"WHERE model_id IN ({marks(models)}) AND metric_name = ? AND run_id = ? "
            "AND metric_step BETWEEN ? AND ? AND metric_timestamp_ms BETWEEN ? AND ?",
            *(*models, key, run_id, page[0][0], page[-1][0], min(times), max(times)),
        )
        links: dict[tuple[int, int], list[Any]] = {}
        for step, timestamp, *link in rows:
            links.setdefault((step, timestamp), []).append(link)
        return links

    def _models_of(self, run_id: str) -> list[str]:
        if self._models is None:
            pairs = self._tables.query(
                ("logged_models", "logged_model_metrics"),
                "SELECT DISTINCT logged_model_metrics.run_id, logged_models.model_id "
                "FROM logged_models JOIN logged_model_metrics "
                "ON logged_model_metrics.model_id = logged_models.model_id "
                "WHERE logged_models.lifecycle_stage = 'active'",
            )
            self._models = {
                run: [model for (model,) in rest] for run, rest in grouped(pairs).items()
            }
        return self._models.get(run_id, [])
