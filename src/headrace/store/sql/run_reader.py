"""Whole runs from their rows: a page of any size costs a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import NotFound
from headrace.protocol.datasets import Dataset, DatasetInput, ModelInput, ModelOutput
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import Run, RunData, RunInfo, RunInputs, RunOutputs, RunStatus
from headrace.protocol.wire import Param, Tag
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.statements import select_any

RUN_COLUMNS = (
    t.runs.c.id,
    t.runs.c.run_id,
    t.runs.c.experiment,
    t.runs.c.name,
    t.runs.c.user_id,
    t.runs.c.status,
    t.runs.c.start_time,
    t.runs.c.end_time,
    t.runs.c.artifact_uri,
    t.runs.c.lifecycle_stage,
)
_RUN = select(*RUN_COLUMNS).where(t.runs.c.run_id == bindparam("run_id"))


def run_info(row: Any) -> RunInfo:
    """A run's facts from a row of `RUN_COLUMNS`."""
    _, run_id, experiment, name, user_id, status, start, end, artifact_uri, stage = row
    return RunInfo(
        run_id=run_id,
        run_uuid=run_id,
        experiment_id=str(experiment),
        run_name=name,
        user_id=user_id,
        status=RunStatus(status),
        start_time=start,
        end_time=end,
        artifact_uri=artifact_uri,
        lifecycle_stage=stage,
    )


def find_run_row(connection: Connection, run_id: str) -> Any:
    """The row of a run. Raises NotFound."""
    row = connection.one(_RUN, run_id=run_id)
    if row is None:
        raise NotFound(f"Run '{run_id}' not found.")
    return row


def whole_runs(connection: Connection, rows: Sequence[Any]) -> list[Run]:
    """Runs with metrics, parameters, tags, inputs and outputs, in the order of `rows`."""
    ids = connection.dialect.list_value([row[0] for row in rows])
    runs = {
        row[0]: Run(
            info=run_info(row), data=RunData([], [], []), inputs=RunInputs([], []), outputs=None
        )
        for row in rows
    }
    metrics = connection.rows(_metrics(connection.dialect), ids=ids)
    names = connection.key_names(row[1] for row in metrics)
    for run, key, value, timestamp, step in metrics:
        runs[run].data.metrics.append(Metric(names[key], float(value), timestamp, step))
    for run, key, value in _key_values(connection, t.params, ids):
        runs[run].data.params.append(Param(key, value))
    for run, key, value in _key_values(connection, t.tags, ids):
        runs[run].data.tags.append(Tag(key, value))
    _add_datasets(connection, runs, ids)
    _add_models(connection, runs, ids)
    return list(runs.values())


def _key_values(
    connection: Connection, table: sa.Table, ids: Any
) -> Iterator[tuple[int, str, str]]:
    rows = connection.rows(_select_key_values(connection.dialect, table), ids=ids)
    names = connection.key_names(row[1] for row in rows)
    return ((run, names[key], value) for run, key, value in rows)


def _add_datasets(connection: Connection, runs: dict[int, Run], ids: Any) -> None:
    rows = connection.rows(_datasets(connection.dialect), ids=ids)
    if not rows:
        return
    tags: dict[int, list[Tag]] = {row[0]: [] for row in rows}
    inputs = connection.dialect.list_value(list(tags))
    for entry, key, value in connection.rows(_input_tags(connection.dialect), ids=inputs):
        tags[entry].append(Tag(key, value))
    for entry, run, *fields in rows:
        runs[run].inputs.dataset_inputs.append(DatasetInput(Dataset(*fields), tags[entry]))


def _add_models(connection: Connection, runs: dict[int, Run], ids: Any) -> None:
    for run, model_id in connection.rows(_model_inputs(connection.dialect), ids=ids):
        runs[run].inputs.model_inputs.append(ModelInput(model_id))
    for run, model_id, step in connection.rows(_model_outputs(connection.dialect), ids=ids):
        outputs = runs[run].outputs
        if outputs is None:
            outputs = runs[run].outputs = RunOutputs([])
        outputs.model_outputs.append(ModelOutput(model_id, step))


@cache
def _metrics(dialect: Dialect) -> Any:
    c = t.latest_metrics.c
    return select_any(dialect, (c.run, c.key, c.value, c.timestamp, c.step), c.run)


@cache
def _select_key_values(dialect: Dialect, table: sa.Table) -> Any:
    return select_any(dialect, (table.c.run, table.c.key, table.c.value), table.c.run)


@cache
def _datasets(dialect: Dialect) -> Any:
    used, c = t.dataset_inputs.c, t.datasets.c
    columns = (c.name, c.digest, c.source_type, c.source, c.schema, c.profile)
    among = dialect.any_of(used.run, "ids")
    return (
        select(used.id, used.run, *columns)
        .join_from(t.dataset_inputs, t.datasets, c.id == used.dataset)
        .where(among)
        .order_by(used.id)
    )


@cache
def _input_tags(dialect: Dialect) -> Any:
    c = t.dataset_input_tags.c
    return select_any(dialect, (c.input, c.key, c.value), c.input, (c.input, c.key))


@cache
def _model_inputs(dialect: Dialect) -> Any:
    c = t.model_inputs.c
    return select_any(dialect, (c.run, c.model_id), c.run, (c.run, c.model_id))


@cache
def _model_outputs(dialect: Dialect) -> Any:
    c = t.model_outputs.c
    return select_any(dialect, (c.run, c.model_id, c.step), c.run, (c.run, c.step, c.model_id))
