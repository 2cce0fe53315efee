"""Runs on SQL: created, written, read. Searching is in `run_search`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.protocol import runs, uris
from headrace.protocol.random_names import random_name
from headrace.protocol.wire import Empty, Param, Tag, as_enum
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.metrics import add_points
from headrace.store.sql.run_reader import find_run_row, run_info, whole_runs
from headrace.store.sql.run_search import search_runs
from headrace.store.sql.stages import ACTIVE, DELETED
from headrace.store.sql.statements import insert_returning_id, select_any
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_EXPERIMENT = select(
    t.experiments.c.id, t.experiments.c.artifact_location, t.experiments.c.lifecycle_stage
).where(t.experiments.c.id == bindparam("id"))
_TAG = select(t.tags.c.value).where(
    t.tags.c.run == bindparam("run"), t.tags.c.key == bindparam("key")
)
_DELETE_TAG = t.tags.delete().where(
    t.tags.c.run == bindparam("of_run"), t.tags.c.key == bindparam("of_key")
)
_SET_STAGE = (
    t.runs.update()
    .where(t.runs.c.id == bindparam("of_run"))
    .values(lifecycle_stage=bindparam("stage"), deleted_time=bindparam("deleted_time"))
)
_UPDATE = (
    t.runs.update()
    .where(t.runs.c.id == bindparam("of_run"))
    .values(status=bindparam("status"), end_time=bindparam("end_time"), name=bindparam("name"))
)
_RENAME = t.runs.update().where(t.runs.c.id == bindparam("of_run")).values(name=bindparam("name"))


class SqlRuns:
    """`RunStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def create(self, transaction: Transaction, request: runs.CreateRun) -> runs.RunAnswer:
        """Make a run, or return the one with `request.run_id`."""
        if request.run_id is not None:
            known = transaction.one(_RUN_ID, run_id=request.run_id)
            if known is not None:
                return _known_run(transaction, request.run_id, int(request.experiment_id))
        experiment = transaction.one(_EXPERIMENT, id=int(request.experiment_id))
        if experiment is None:
            raise NotFound(f"No experiment with id '{request.experiment_id}' exists.")
        if experiment[2] != ACTIVE:
            raise InvalidRequest(
                f"The experiment '{request.experiment_id}' is deleted; restore it before "
                "creating runs in it."
            )
        run_id = request.run_id or uuid.uuid4().hex
        tags = {tag.key: tag.value for tag in request.tags}
        name = request.run_name or random_name()
        tags[runs.RUN_NAME_TAG] = name
        values = {
            "run_id": run_id,
            "experiment": experiment[0],
            "name": name,
            "user_id": request.user_id or tags.get(runs.USER_TAG, ""),
            "status": runs.RunStatus.RUNNING.value,
            "start_time": now_ms() if request.start_time is None else request.start_time,
            "end_time": None,
            "lifecycle_stage": ACTIVE,
            "artifact_uri": uris.join(experiment[1], run_id, "artifacts"),
            "deleted_time": None,
        }
        pk = transaction.run_returning(insert_returning_id(t.runs), **values)[0]
        stored = [Tag(key, value) for key, value in tags.items()]
        _put_tags(transaction, pk, stored)
        row = (
            pk,
            run_id,
            values["experiment"],
            name,
            values["user_id"],
            values["status"],
            values["start_time"],
            None,
            values["artifact_uri"],
            ACTIVE,
        )
        data = runs.RunData(tags=stored)
        return runs.RunAnswer(runs.Run(info=run_info(row), data=data))

    def get(self, request: runs.RunRef, /) -> runs.RunAnswer:
        """Return a run, whole, deleted ones too."""
        with self._database.reading() as connection:
            row = find_run_row(connection, request.run_id)
            return runs.RunAnswer(whole_runs(connection, [row])[0])

    def search(self, request: runs.SearchRuns, /) -> runs.RunPage:
        """Return a page of runs."""
        with self._database.reading() as connection:
            return search_runs(connection, request)

    @write
    def update(self, transaction: Transaction, request: runs.UpdateRun) -> runs.RunInfoAnswer:
        """Change status, end time, name; what is absent stays."""
        pk = transaction.find_active_run(request.run_id)[0]
        info = run_info(find_run_row(transaction.connection, request.run_id))
        if request.status is not None:
            info.status = as_enum(runs.RunStatus, request.status, "status")
        if request.end_time is not None:
            info.end_time = request.end_time
        if request.run_name:
            info.run_name = request.run_name
            _put_tags(transaction, pk, [Tag(runs.RUN_NAME_TAG, request.run_name)])
        transaction.run(
            _UPDATE,
            of_run=pk,
            status=info.status.value,
            end_time=info.end_time,
            name=info.run_name,
        )
        return runs.RunInfoAnswer(info)

    @write
    def delete(self, transaction: Transaction, request: runs.RunRef) -> Empty:
        """Delete softly."""
        return _set_stage(transaction, request.run_id, DELETED)

    @write
    def restore(self, transaction: Transaction, request: runs.RunRef) -> Empty:
        """Make it active again."""
        return _set_stage(transaction, request.run_id, ACTIVE)

    @write
    def log_param(self, transaction: Transaction, request: runs.LogParam) -> Empty:
        """Write a parameter, once."""
        pk = transaction.find_active_run(request.run_id)[0]
        _put_params(transaction, pk, request.run_id, [Param(request.key, request.value)])
        return Empty()

    @write
    def set_tag(self, transaction: Transaction, request: runs.SetTag) -> Empty:
        """Write a tag."""
        pk = transaction.find_active_run(request.run_id)[0]
        tags = [Tag(request.key, request.value)]
        _put_tags(transaction, pk, tags)
        _rename(transaction, pk, tags)
        return Empty()

    @write
    def delete_tag(self, transaction: Transaction, request: runs.DeleteTag) -> Empty:
        """Remove a tag."""
        pk = transaction.find_active_run(request.run_id)[0]
        key = transaction.find_key(request.key)
        if key is None or transaction.one(_TAG, run=pk, key=key) is None:
            raise NotFound(f"The run '{request.run_id}' has no tag {request.key!r}.")
        transaction.run(_DELETE_TAG, of_run=pk, of_key=key)
        return Empty()

    @write
    def log_batch(self, transaction: Transaction, request: runs.LogBatch) -> Empty:
        """Write metrics, parameters and tags: all or none."""
        pk = transaction.find_active_run(request.run_id)[0]
        if request.params:
            _put_params(transaction, pk, request.run_id, request.params)
        if request.metrics:
            add_points(transaction, pk, request.run_id, request.metrics)
        if request.tags:
            _put_tags(transaction, pk, request.tags)
            _rename(transaction, pk, request.tags)
        return Empty()

    @write
    def log_model(self, transaction: Transaction, request: runs.LogModelNote) -> Empty:
        """Append a model's description to the run's history of models."""
        pk = transaction.find_active_run(request.run_id)[0]
        try:
            model = json.loads(request.model_json)
        except ValueError as error:
            raise InvalidRequest(
                f"The value of 'model_json' is not valid JSON: {error}."
            ) from error
        key = transaction.find_key(runs.LOG_MODEL_HISTORY_TAG)
        row = transaction.one(_TAG, run=pk, key=key) if key is not None else None
        history = [*json.loads(row[0]), model] if row else [model]
        _put_tags(transaction, pk, [Tag(runs.LOG_MODEL_HISTORY_TAG, json.dumps(history))])
        return Empty()


def _known_run(transaction: Transaction, run_id: str, experiment: int) -> runs.RunAnswer:
    """The run that is there already. Raises AlreadyExists if it is another experiment's."""
    row = find_run_row(transaction.connection, run_id)
    run = whole_runs(transaction.connection, [row])[0]
    if run.info.experiment_id != str(experiment):
        raise AlreadyExists(
            f"The run '{run_id}' exists already, in the experiment '{run.info.experiment_id}', "
            f"not in '{experiment}'. Ask for it there, or choose another id."
        )
    return runs.RunAnswer(run)


_RUN_ID = select(t.runs.c.id).where(t.runs.c.run_id == bindparam("run_id"))


def _set_stage(transaction: Transaction, run_id: str, stage: str) -> Empty:
    pk, _, known = transaction.find_run(run_id)
    if known != stage:
        deleted_time = now_ms() if stage == DELETED else None
        transaction.run(_SET_STAGE, of_run=pk, stage=stage, deleted_time=deleted_time)
        transaction.forget_runs()
    return Empty()


def _put_tags(transaction: Transaction, pk: int, tags: Sequence[Tag]) -> None:
    """Write tags; the one that names the run renames it."""
    rows = {transaction.key_id(tag.key): tag.value for tag in tags}
    transaction.put(
        t.tags,
        [{"run": pk, "key": key, "value": value} for key, value in sorted(rows.items())],
    )


def _rename(transaction: Transaction, pk: int, tags: Sequence[Tag]) -> None:
    """Keep the run's name and the tag that tells it the same."""
    for tag in tags:
        if tag.key == runs.RUN_NAME_TAG and tag.value:
            transaction.run(_RENAME, of_run=pk, name=tag.value)


def _put_params(transaction: Transaction, pk: int, run_id: str, params: Sequence[Param]) -> None:
    """Write parameters; refuse, before anything is written, one that has another value."""
    wanted = {transaction.key_id(param.key): param for param in params}
    keys = transaction.dialect.list_value(list(wanted))
    known = transaction.rows(_known_params(transaction.dialect), run=pk, ids=keys)
    for key, value in known:
        if wanted[key].value != value:
            raise _changed_param(wanted[key], value, run_id)
        del wanted[key]
    rows = [{"run": pk, "key": key, "value": wanted[key].value} for key in sorted(wanted)]
    transaction.put_new(t.params, rows)


@cache
def _known_params(dialect: Dialect) -> Any:
    c = t.params.c
    return select_any(dialect, (c.key, c.value), c.key).where(c.run == bindparam("run"))


def _changed_param(param: Param, known: str, run_id: str) -> InvalidRequest:
    return InvalidRequest(
        "Changing param values is not allowed. Param with "
        f"key='{param.key}' was already logged with value='{known}' for run "
        f"ID='{run_id}'. Attempted logging new value '{param.value}'."
    )
