"""Experiments on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, null, select

from headrace.errors import AlreadyExists, InvalidRequest, InvalidState, NotFound
from headrace.protocol import experiments
from headrace.protocol.wire import Empty, Tag, ViewType, as_enum
from headrace.search import Dialect, parse_filter, parse_order_by
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.connection import Connection
from headrace.store.sql.database import Database
from headrace.store.sql.dialect import Dialect as SqlDialect
from headrace.store.sql.paging import Search
from headrace.store.sql.stages import ACTIVE, DELETED, in_view
from headrace.store.sql.statements import insert_returning_id, select_any
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_c = t.experiments.c
_COLUMNS = (
    _c.id,
    _c.name,
    _c.artifact_location,
    _c.lifecycle_stage,
    _c.creation_time,
    _c.last_update_time,
)
_BY_ID = select(*_COLUMNS).where(_c.id == bindparam("id"))
_BY_NAME = select(*_COLUMNS).where(_c.name == bindparam("name"))
_DELETED_TIME = select(_c.deleted_time).where(_c.id == bindparam("id"))
_THIS = t.experiments.update().where(_c.id == bindparam("experiment"))
_SET_LOCATION = _THIS.values(artifact_location=bindparam("location"))
_RENAME = _THIS.values(name=bindparam("new_name"), last_update_time=bindparam("now"))
_SET_STAGE = _THIS.values(
    lifecycle_stage=bindparam("stage"),
    deleted_time=bindparam("when_deleted"),
    last_update_time=bindparam("now"),
)
_LAST_DELETED_RUN = select(func.max(t.runs.c.deleted_time)).where(
    t.runs.c.experiment == bindparam("id")
)
_RUNS = t.runs.update().where(t.runs.c.experiment == bindparam("of_experiment"))
_DELETE_RUNS = _RUNS.where(t.runs.c.lifecycle_stage == bindparam("active")).values(
    lifecycle_stage=bindparam("stage"), deleted_time=bindparam("when_deleted")
)
_RESTORE_RUNS = _RUNS.where(
    t.runs.c.lifecycle_stage == bindparam("deleted"),
    t.runs.c.deleted_time == bindparam("when_deleted"),
).values(lifecycle_stage=bindparam("stage"), deleted_time=null())
_DELETE_TAG = t.experiment_tags.delete().where(
    t.experiment_tags.c.experiment == bindparam("of_experiment"),
    t.experiment_tags.c.key == bindparam("of_key"),
)


class SqlExperiments:
    """`ExperimentStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def create(
        self, transaction: Transaction, request: experiments.CreateExperiment
    ) -> experiments.ExperimentId:
        """Make an experiment, its artifacts under the database's root unless told where."""
        _refuse_taken_name(transaction, request.name)
        now = now_ms()
        number = transaction.run_returning(
            insert_returning_id(t.experiments),
            name=request.name,
            artifact_location=request.artifact_location or "",
            lifecycle_stage=ACTIVE,
            creation_time=_given(request.creation_time, now),
            last_update_time=_given(request.last_update_time, now),
            deleted_time=None,
        )[0]
        if not request.artifact_location:
            root = self._database.artifact_root.rstrip("/")
            transaction.run(_SET_LOCATION, experiment=number, location=f"{root}/{number}")
        _put_tags(transaction, number, request.tags)
        return experiments.ExperimentId(str(number))

    def get(self, request: experiments.ExperimentRef, /) -> experiments.ExperimentAnswer:
        """Return an experiment, deleted ones too."""
        with self._database.reading() as connection:
            row = _find(connection, request.experiment_id)
            return experiments.ExperimentAnswer(_whole(connection, [row])[0])

    def get_by_name(self, request: experiments.ExperimentByName, /) -> experiments.ExperimentAnswer:
        """Return the experiment of this name, deleted ones too."""
        with self._database.reading() as connection:
            row = connection.one(_BY_NAME, name=request.experiment_name)
            if row is None:
                raise NotFound(f"No experiment named {request.experiment_name!r} exists.")
            return experiments.ExperimentAnswer(_whole(connection, [row])[0])

    def search(self, request: experiments.SearchExperiments, /) -> experiments.ExperimentPage:
        """Return a page of experiments."""
        view = as_enum(ViewType, request.view_type or ViewType.ACTIVE_ONLY, "view_type")
        parsed = parse_filter(request.filter, Dialect.EXPERIMENTS)
        order = parse_order_by(request.order_by, Dialect.EXPERIMENTS)
        search = Search(Dialect.EXPERIMENTS, parsed, order, scope=(view.value,))
        size = request.max_results or 1
        with self._database.reading() as connection:
            statement = search.statement(
                connection.dialect,
                _COLUMNS,
                in_view(t.experiments, view),
                size,
                request.page_token,
            )
            page, token = search.cut(connection.sql.execute(statement).all(), size)
            rows = [row[: len(_COLUMNS)] for row in page]
            return experiments.ExperimentPage(_whole(connection, rows), token)

    @write
    def update(self, transaction: Transaction, request: experiments.UpdateExperiment) -> Empty:
        """Rename."""
        row = _find(transaction, request.experiment_id)
        if row[3] != ACTIVE:
            raise InvalidState(
                f"The experiment '{request.experiment_id}' is deleted; restore it before "
                "renaming it."
            )
        if row[1] != request.new_name:
            _refuse_taken_name(transaction, request.new_name)
            transaction.run(_RENAME, experiment=row[0], new_name=request.new_name, now=now_ms())
        return Empty()

    @write
    def delete(self, transaction: Transaction, request: experiments.ExperimentRef) -> Empty:
        """Delete it, and with it the runs that are active."""
        row = _find(transaction, request.experiment_id)
        if row[3] != ACTIVE:
            raise NotFound(f"The experiment '{request.experiment_id}' is deleted already.")
        # By this time `restore` knows the runs that went along, so no other run may have it.
        last = transaction.one(_LAST_DELETED_RUN, id=row[0])[0]
        now = max(now_ms(), 0 if last is None else last + 1)
        _set_stage(transaction, row[0], DELETED, now)
        transaction.run(
            _DELETE_RUNS, of_experiment=row[0], active=ACTIVE, stage=DELETED, when_deleted=now
        )
        transaction.forget_runs()
        return Empty()

    @write
    def restore(self, transaction: Transaction, request: experiments.ExperimentRef) -> Empty:
        """Restore it and the runs that were deleted with it; those deleted before stay so."""
        row = _find(transaction, request.experiment_id)
        if row[3] == ACTIVE:
            raise NotFound(
                f"The experiment '{request.experiment_id}' is not deleted; there is nothing to "
                "restore."
            )
        deleted_time = transaction.one(_DELETED_TIME, id=row[0])[0]
        _set_stage(transaction, row[0], ACTIVE, None)
        transaction.run(
            _RESTORE_RUNS,
            of_experiment=row[0],
            deleted=DELETED,
            when_deleted=deleted_time,
            stage=ACTIVE,
        )
        transaction.forget_runs()
        return Empty()

    @write
    def set_tag(self, transaction: Transaction, request: experiments.SetExperimentTag) -> Empty:
        """Write a tag."""
        row = _find_writable(transaction, request.experiment_id)
        _put_tags(transaction, row[0], [Tag(request.key, request.value)])
        return Empty()

    @write
    def delete_tag(
        self, transaction: Transaction, request: experiments.DeleteExperimentTag
    ) -> Empty:
        """Remove a tag."""
        row = _find_writable(transaction, request.experiment_id)
        if not transaction.run(_DELETE_TAG, of_experiment=row[0], of_key=request.key):
            raise NotFound(f"The experiment '{request.experiment_id}' has no tag {request.key!r}.")
        return Empty()


def _given(time: int | None, now: int) -> int:
    return now if time is None else time


def _find(connection: Connection | Transaction, experiment_id: str) -> Any:
    """The row of an experiment. Raises NotFound."""
    row = connection.one(_BY_ID, id=int(experiment_id))
    if row is None:
        raise NotFound(f"No experiment with id '{experiment_id}' exists.")
    return row


def _find_writable(transaction: Transaction, experiment_id: str) -> Any:
    row = _find(transaction, experiment_id)
    if row[3] != ACTIVE:
        raise InvalidRequest(
            f"The experiment '{experiment_id}' is deleted; restore it before writing to it."
        )
    return row


def _refuse_taken_name(transaction: Transaction, name: str) -> None:
    row = transaction.one(_BY_NAME, name=name)
    if row is None:
        return
    if row[3] == ACTIVE:
        raise AlreadyExists(
            f"An experiment named {name!r} exists already; its id is '{row[0]}'. Use that one, "
            "or choose another name."
        )
    raise AlreadyExists(
        f"A deleted experiment is named {name!r}; its id is '{row[0]}'. Restore it "
        f"('headrace experiments restore {row[0]}'), or choose another name."
    )


def _set_stage(transaction: Transaction, number: int, stage: str, deleted: int | None) -> None:
    transaction.run(
        _SET_STAGE, experiment=number, stage=stage, when_deleted=deleted, now=deleted or now_ms()
    )


def _put_tags(transaction: Transaction, number: int, tags: Sequence[Tag]) -> None:
    values = {tag.key: tag.value for tag in tags}
    transaction.put(
        t.experiment_tags,
        [{"experiment": number, "key": key, "value": values[key]} for key in sorted(values)],
    )


@cache
def _tags(dialect: SqlDialect) -> Any:
    c = t.experiment_tags.c
    return select_any(dialect, (c.experiment, c.key, c.value), c.experiment, (c.experiment, c.key))


def _whole(connection: Connection, rows: Sequence[Any]) -> list[experiments.Experiment]:
    """Experiments with their tags, in the order of `rows`."""
    found = {
        row[0]: experiments.Experiment(str(row[0]), row[1], row[2], row[3], row[4], row[5], [])
        for row in rows
    }
    ids = connection.dialect.list_value(list(found))
    for number, key, value in connection.rows(_tags(connection.dialect), ids=ids):
        found[number].tags.append(Tag(key, value))
    return list(found.values())
