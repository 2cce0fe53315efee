"""Data sets, and the models that runs take in and make, on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.protocol import datasets, limits
from headrace.protocol.wire import Empty, Tag
from headrace.store.sql import tables as t
from headrace.store.sql.database import Database
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.statements import insert_ignoring, insert_returning_id
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_DATASET = select(t.datasets.c.id).where(
    t.datasets.c.experiment == bindparam("experiment"),
    t.datasets.c.name == bindparam("name"),
    t.datasets.c.digest == bindparam("digest"),
)
_INPUT = select(t.dataset_inputs.c.id).where(
    t.dataset_inputs.c.run == bindparam("run"), t.dataset_inputs.c.dataset == bindparam("dataset")
)


class SqlDatasets:
    """`DatasetStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def log_inputs(self, transaction: Transaction, request: datasets.LogInputs) -> Empty:
        """Note data sets and models that a run takes in; what is noted already stays."""
        run, experiment, _ = transaction.find_active_run(request.run_id)
        ids = _find_or_make(transaction, experiment, [entry.dataset for entry in request.datasets])
        for entry in request.datasets:
            dataset = ids[entry.dataset.name, entry.dataset.digest]
            _note_input(transaction, run, dataset, entry.tags)
        models = sorted({model.model_id for model in request.models})
        transaction.put_new(
            t.model_inputs,
            [{"run": run, "model_id": model_id} for model_id in models],
        )
        return Empty()

    @write
    def log_outputs(self, transaction: Transaction, request: datasets.LogOutputs) -> Empty:
        """Note models that a run makes."""
        run = transaction.find_active_run(request.run_id)[0]
        outputs = sorted({(model.model_id, model.step) for model in request.models})
        transaction.put_new(
            t.model_outputs,
            [{"run": run, "model_id": model_id, "step": step} for model_id, step in outputs],
        )
        return Empty()

    def search(self, request: datasets.SearchDatasets, /) -> datasets.DatasetSummaries:
        """Return the data sets of experiments, by name, each with every context it was used in."""
        with self._database.reading() as connection:
            ids = [int(experiment_id) for experiment_id in request.experiment_ids]
            bound = connection.dialect.list_value(ids)
            rows = connection.rows(_summaries(connection.dialect), ids=bound)
        return datasets.DatasetSummaries(
            [
                datasets.DatasetSummary(str(experiment), name, digest, context)
                for experiment, name, digest, context in rows
            ]
        )


def _find_or_make(
    transaction: Transaction, experiment: int, wanted: Sequence[datasets.Dataset]
) -> dict[tuple[str, str], int]:
    """The ids of data sets by (name, digest), in one order for all writers."""
    ids: dict[tuple[str, str], int] = {}
    for dataset in sorted(wanted, key=attrgetter("name", "digest")):
        place = {"experiment": experiment, "name": dataset.name, "digest": dataset.digest}
        row = transaction.one(_DATASET, **place)
        if row is None:
            transaction.run(
                insert_ignoring(transaction.dialect, t.datasets),
                **place,
                source_type=dataset.source_type,
                source=dataset.source,
                schema=dataset.schema,
                profile=dataset.profile,
            )
            row = transaction.one(_DATASET, **place)
        ids[dataset.name, dataset.digest] = row[0]
    return ids


def _note_input(transaction: Transaction, run: int, dataset: int, tags: Sequence[Tag]) -> None:
    if transaction.one(_INPUT, run=run, dataset=dataset) is not None:
        return
    number = transaction.run_returning(
        insert_returning_id(t.dataset_inputs), run=run, dataset=dataset
    )[0]
    values = {tag.key: tag.value for tag in tags}
    transaction.put_new(
        t.dataset_input_tags,
        [{"input": number, "key": key, "value": value} for key, value in values.items()],
    )


@cache
def _summaries(dialect: Dialect) -> Any:
    sets, used, marks = t.datasets.c, t.dataset_inputs.c, t.dataset_input_tags.c
    is_context = sa.and_(marks.input == used.id, marks.key == datasets.CONTEXT_TAG)
    columns = (sets.experiment, sets.name, sets.digest, marks.value)
    return (
        select(*columns)
        .join_from(t.datasets, t.dataset_inputs, used.dataset == sets.id)
        .outerjoin(t.dataset_input_tags, is_context)
        .where(dialect.any_of(sets.experiment, "ids"))
        .group_by(*columns)
        .order_by(sets.experiment, sets.name, sets.digest, marks.value.is_(None), marks.value)
        .limit(limits.MAX_DATASET_SUMMARIES)
    )
