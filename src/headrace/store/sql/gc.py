"""Removing for good what was deleted: runs, logged models, experiments, with all their rows.

Servers may be running. What is removed is first *taken out*, in one short transaction: its own
row goes away and an entry in `removals` takes its place. From then on nobody can see it, write to
it or restore it, and its files and the rows that belong to it can be cleared away at leisure, in
transactions that are bounded in size. The entry goes last. So a removal that is cut short at any
moment is finished by the next one, which starts with the entries it finds.

Nothing is taken out that is not deleted, or that is needed by something that is not: files that
a version of a registered model lies in, and experiments that still hold something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import select

from headrace.errors import InvalidRequest
from headrace.protocol import uris
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID
from headrace.store.sql import tables as t
from headrace.store.sql.upkeep import Upkeep

BATCH = 25
"""Things that are taken out in one transaction."""
CHUNK = 5000
"""Rows that are cleared away in one transaction: some tens of milliseconds of the write lock."""
ENTRY_COST = 200
"""What clearing away something with hardly any rows costs, in rows."""


class Kind(StrEnum):
    """What can be deleted, in the order in which it is removed: contents before containers."""

    RUN = "run"
    LOGGED_MODEL = "logged model"
    EXPERIMENT = "experiment"


@dataclass(frozen=True)
class Deleted:
    """Something that was deleted; `kept_for` says what it is still needed for, if it is."""

    kind: Kind
    row_id: int
    public_id: str
    name: str
    experiment: int
    deleted_time: int
    artifact_uri: str
    kept_for: str = ""


@dataclass(frozen=True)
class Removal:
    """Something that was taken out, with rows and files that may still be there."""

    kind: Kind
    row_id: int
    public_id: str
    artifact_uri: str


def find_deleted(upkeep: Upkeep, before: int) -> list[Deleted]:
    """Everything that was deleted up to `before` (ms since 1970): runs, models, experiments."""
    with upkeep.reading() as connection:
        needed = _needed_by_registry(connection)
        found = [*_deleted_runs(connection, before), *_deleted_models(connection, before)]
        found = [replace(each, kept_for=needed.reason(each)) for each in found]
        going = {(each.kind, each.row_id) for each in found if not each.kept_for}
        return [*found, *_deleted_experiments(connection, before, going)]


def take_out(upkeep: Upkeep, chosen: Sequence[Deleted], before: int) -> list[Removal]:
    """Make `chosen` (of one kind, at most BATCH) unreachable; returns those that still were there.

    What was restored since it was found stays.
    """
    kind = chosen[0].kind
    table = _TABLES[kind]
    ids = [each.row_id for each in chosen]
    by_id = {each.row_id: each for each in chosen}
    with upkeep.writing() as connection:
        statement = select(table.c.id).where(table.c.id.in_(ids), *_still_deleted(kind, before))
        rows = connection.execute(statement.with_for_update(of=table)).all()
        gone = [by_id[row.id] for row in rows]
        if not gone:
            return []
        removals = [Removal(kind, e.row_id, e.public_id, e.artifact_uri) for e in gone]
        connection.execute(
            t.removals.insert(),
            [{**vars(removal), "kind": removal.kind.value} for removal in removals],
        )
        gone_ids = [each.row_id for each in gone]
        if kind is Kind.EXPERIMENT:
            tags = t.experiment_tags
            connection.execute(tags.delete().where(tags.c.experiment.in_(gone_ids)))
            datasets = t.datasets
            connection.execute(datasets.delete().where(datasets.c.experiment.in_(gone_ids)))
        connection.execute(table.delete().where(table.c.id.in_(gone_ids)))
    return removals


def unfinished(upkeep: Upkeep) -> list[Removal]:
    """What was taken out, now or by an earlier removal that was cut short."""
    with upkeep.reading() as connection:
        rows = connection.execute(select(t.removals)).all()
    return [Removal(Kind(r.kind), r.row_id, r.public_id, r.artifact_uri) for r in rows]


def clear(upkeep: Upkeep, removals: Sequence[Removal]) -> int:
    """Clear away the rows of things taken out, then their entries; returns how many rows."""
    count = 0
    waiting = list(removals)
    while waiting:
        with upkeep.writing() as connection:
            room = CHUNK
            while waiting and room > 0:
                cleared = _clear_some(connection, waiting[0], room)
                count += cleared
                if cleared < room:
                    _forget(connection, waiting.pop(0))
                room -= max(cleared, ENTRY_COST)
    return count


_TABLES = {
    Kind.RUN: t.runs,
    Kind.LOGGED_MODEL: t.logged_models,
    Kind.EXPERIMENT: t.experiments,
}
_Belongings = tuple[tuple[sa.Table, str], ...]
_BELONGINGS: dict[Kind, _Belongings] = {
    Kind.RUN: (
        (t.metrics, "run"),
        (t.latest_metrics, "run"),
        (t.params, "run"),
        (t.tags, "run"),
        (t.dataset_inputs, "run"),
        (t.model_inputs, "run"),
        (t.model_outputs, "run"),
    ),
    Kind.LOGGED_MODEL: (
        (t.logged_model_metrics, "model"),
        (t.logged_model_params, "model"),
        (t.logged_model_tags, "model"),
    ),
    Kind.EXPERIMENT: (),
}


def _still_deleted(kind: Kind, before: int) -> tuple[sa.ColumnElement[bool], ...]:
    """What must be true of a row of this kind for it to be removed."""
    experiment_is = _old(t.experiments, before)
    if kind is Kind.RUN:
        return (_old(t.runs, before),)
    if kind is Kind.LOGGED_MODEL:
        in_deleted = t.logged_models.c.experiment.in_(
            select(t.experiments.c.id).where(experiment_is)
        )
        return (sa.or_(_old(t.logged_models, before), in_deleted),)
    is_empty = (
        ~sa.exists().where(table.c.experiment == t.experiments.c.id)
        for table in (t.runs, t.logged_models)
    )
    return (experiment_is, *is_empty)


def _old(table: sa.Table, before: int) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.lifecycle_stage == "deleted", table.c.deleted_time <= before)


def _deleted_runs(connection: sa.Connection, before: int) -> Iterator[Deleted]:
    runs = t.runs
    statement = select(runs).where(*_still_deleted(Kind.RUN, before)).order_by(runs.c.id)
    for row in connection.execute(statement):
        yield Deleted(
            Kind.RUN,
            row.id,
            row.run_id,
            row.name,
            row.experiment,
            row.deleted_time,
            row.artifact_uri,
        )


def _deleted_models(connection: sa.Connection, before: int) -> Iterator[Deleted]:
    models, experiments = t.logged_models, t.experiments
    statement = (
        select(models, experiments.c.deleted_time.label("with_experiment"))
        .join(experiments, experiments.c.id == models.c.experiment)
        .where(*_still_deleted(Kind.LOGGED_MODEL, before))
        .order_by(models.c.id)
    )
    for row in connection.execute(statement):
        yield Deleted(
            Kind.LOGGED_MODEL,
            row.id,
            row.model_id,
            row.name,
            row.experiment,
            row.deleted_time or row.with_experiment,
            row.artifact_uri,
        )


def _deleted_experiments(
    connection: sa.Connection, before: int, going: set[tuple[Kind, int]]
) -> Iterator[Deleted]:
    experiments = t.experiments
    statement = select(experiments).where(_old(experiments, before)).order_by(experiments.c.id)
    for row in connection.execute(statement).all():
        staying = 0
        for kind in (Kind.RUN, Kind.LOGGED_MODEL):
            table = _TABLES[kind]
            inside = connection.execute(select(table.c.id).where(table.c.experiment == row.id))
            staying += sum((kind, each.id) not in going for each in inside)
        kept_for = f"{staying} runs or models in it that stay" if staying else ""
        if str(row.id) == DEFAULT_EXPERIMENT_ID:
            kept_for = "new runs: there is always a default experiment"
        yield Deleted(
            Kind.EXPERIMENT,
            row.id,
            str(row.id),
            row.name,
            row.id,
            row.deleted_time,
            row.artifact_location,
            kept_for,
        )


@dataclass(frozen=True)
class _Needed:
    """What versions of registered models lie in: folders, runs and models, by id."""

    folders: dict[str, str]
    runs: dict[str, str]
    models: dict[str, str]

    def reason(self, each: Deleted) -> str:
        """The model version that needs `each`, as a phrase; empty if none does."""
        by_id = self.runs if each.kind is Kind.RUN else self.models
        version = by_id.get(each.public_id) or self.folders.get(each.artifact_uri.rstrip("/"))
        return f"registered model {version}" if version else ""


def _needed_by_registry(connection: sa.Connection) -> _Needed:
    needed = _Needed({}, {}, {})
    versions, models = t.model_versions, t.registered_models
    statement = select(
        models.c.name,
        versions.c.version,
        versions.c.source,
        versions.c.storage_location,
        versions.c.model_id,
    ).join(models, models.c.id == versions.c.model)
    for row in connection.execute(statement):
        label = f"{row.name}/{row.version}"
        if row.model_id:
            needed.models[row.model_id] = label
        for place in (row.source, row.storage_location):
            _note_place(needed, place, label)
    return needed


def _note_place(needed: _Needed, place: str, label: str) -> None:
    scheme = uris.scheme_of(place)
    try:
        if scheme == "runs":
            needed.runs[uris.parse_run_uri(place).run_id] = label
            return
        if scheme == "models":
            named = uris.parse_models_uri(place)
            if isinstance(named, uris.LoggedModelUri):
                needed.models[named.model_id] = label
            return
    except InvalidRequest:
        return
    for folder in _with_parents(place.rstrip("/")):
        needed.folders[folder] = label


def _with_parents(place: str) -> Iterable[str]:
    while place and not place.endswith("/"):
        yield place
        place = place.rpartition("/")[0]


def _clear_some(connection: sa.Connection, removal: Removal, most: int) -> int:
    """Delete rows that belong to `removal`; fewer than `most` when there are no more."""
    count = 0
    for table, owner in _BELONGINGS[removal.kind]:
        count += _delete_some(connection, table, table.c[owner] == removal.row_id, most - count)
        if count >= most:
            break
    return count


def _delete_some(
    connection: sa.Connection, table: sa.Table, mine: sa.ColumnElement[bool], most: int
) -> int:
    """Delete at most `most` rows of `mine`, the first in the order of the primary key."""
    key = list(table.primary_key)
    edge = select(*key).where(mine).order_by(*key).limit(1).offset(most)
    upto = connection.execute(edge).first()
    if upto is not None:
        values = (
            sa.bindparam(None, value, column.type) for column, value in zip(key, upto, strict=True)
        )
        mine = sa.and_(mine, sa.tuple_(*key) < sa.tuple_(*values))
    if table is t.dataset_inputs:
        tags = t.dataset_input_tags
        connection.execute(tags.delete().where(tags.c.input.in_(select(table.c.id).where(mine))))
    return connection.execute(table.delete().where(mine)).rowcount


def _forget(connection: sa.Connection, removal: Removal) -> None:
    entry = t.removals
    connection.execute(
        entry.delete().where(entry.c.kind == removal.kind.value, entry.c.row_id == removal.row_id)
    )
