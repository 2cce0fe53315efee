"""Looking for damage: what no correct program and no healthy disk would leave in a database.

Each check reads one moment of the database, changes nothing, and may run beside servers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select

from headrace.store.sql import tables as t
from headrace.store.sql.gc import Kind
from headrace.store.sql.upkeep import Upkeep

_FIRST = ("file", "tables")
MAX_MESSAGES = 20
"""Lines that SQLite's own check may add: a broken page tends to say the same many times."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: where, how many rows, and what it means."""

    check: str
    count: int
    message: str


@dataclass(frozen=True)
class Check:
    """A question to the database; the answer is what is wrong."""

    name: str
    run: Callable[[sa.Connection], Iterator[Finding]]


def run_checks(upkeep: Upkeep, starting: Callable[[str], None]) -> list[Finding]:
    """The findings of all checks; `starting` is told the name of each before it runs."""
    findings: list[Finding] = []
    for check in CHECKS:
        starting(check.name)
        with upkeep.reading() as connection:
            findings += check.run(connection)
        if findings and check.name in _FIRST:
            # A file or a table that is broken makes the other answers worthless, or impossible.
            break
    return findings


def sqlite_problems(cursor: Any) -> Iterator[str]:
    """What SQLite says of the file behind a driver's cursor; nothing if it is sound."""
    try:
        lines = cursor.execute(f"PRAGMA integrity_check({MAX_MESSAGES})").fetchall()
    except sqlite3.DatabaseError as error:
        yield str(error)
        return
    for (line,) in lines:
        if line != "ok":
            yield str(line)


def _pages(connection: sa.Connection) -> Iterator[Finding]:
    """The file's structure. PostgreSQL has programs of its own for this (pg_amcheck)."""
    if connection.dialect.name == "sqlite":
        for problem in sqlite_problems(connection.connection.cursor()):
            yield Finding("file", 1, problem)


def _tables(connection: sa.Connection) -> Iterator[Finding]:
    there = sa.inspect(connection)
    names = set(there.get_table_names())
    for table in t.metadata.sorted_tables:
        if table.name not in names:
            yield Finding("tables", 1, f"The table {table.name} is missing.")
            continue
        columns = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                yield Finding("tables", 1, f"The column {table.name}.{column.name} is missing.")


def _references(connection: sa.Connection) -> Iterator[Finding]:
    """Rows that point at a row that is not there, declared as foreign keys or not."""
    for table in t.metadata.sorted_tables:
        for foreign in table.foreign_keys:
            missing = ~sa.exists().where(foreign.column == foreign.parent)
            count = _count(connection, table, missing)
            if count:
                target = foreign.column.table.name
                yield Finding(
                    "references",
                    count,
                    f"Rows of {table.name} name rows of {target} that are gone.",
                )
    for table in (t.metrics, t.latest_metrics, t.params, t.tags):
        missing = ~sa.exists().where(t.keys.c.id == table.c.key)
        count = _count(connection, table, missing)
        if count:
            yield Finding("references", count, f"Rows of {table.name} have a key without a name.")


def _orphans(connection: sa.Connection) -> Iterator[Finding]:
    """Rows of runs and logged models that are neither there nor on their way out."""
    of_runs = (
        *(t.metrics, t.latest_metrics, t.params, t.tags),
        *(t.dataset_inputs, t.model_inputs, t.model_outputs),
    )
    of_models = (t.logged_model_params, t.logged_model_tags, t.logged_model_metrics)
    for tables, owner, parent, kind in (
        (of_runs, "run", t.runs, Kind.RUN),
        (of_models, "model", t.logged_models, Kind.LOGGED_MODEL),
    ):
        for table in tables:
            mine = table.c[owner]
            removed = sa.and_(t.removals.c.kind == kind.value, t.removals.c.row_id == mine)
            orphan = sa.and_(~sa.exists().where(parent.c.id == mine), ~sa.exists().where(removed))
            count = _count(connection, table, orphan)
            if count:
                yield Finding("orphans", count, f"Rows of {table.name} belong to no {kind.value}.")


def _latest_metrics(connection: sa.Connection) -> Iterator[Finding]:
    """`latest_metrics` must hold, for each curve, exactly its last point."""
    m, latest = t.metrics, t.latest_metrics
    same_curve = sa.and_(m.c.run == latest.c.run, m.c.key == latest.c.key)
    later = sa.tuple_(m.c.step, m.c.timestamp, m.c.value) > sa.tuple_(
        latest.c.step, latest.c.timestamp, latest.c.value
    )
    same = sa.and_(
        m.c.step == latest.c.step,
        m.c.timestamp == latest.c.timestamp,
        m.c.value == latest.c.value,
    )
    stale = _count(connection, latest, sa.exists().where(same_curve, later))
    if stale:
        yield Finding("latest metrics", stale, "Curves have a later point than their latest one.")
    invented = _count(connection, latest, ~sa.exists().where(same_curve, same))
    if invented:
        yield Finding("latest metrics", invented, "Latest values are no point of their curve.")
    curves = select(m.c.run, m.c.key).distinct().subquery()
    is_latest = sa.and_(latest.c.run == curves.c.run, latest.c.key == curves.c.key)
    missing = _count(connection, curves, ~sa.exists().where(is_latest))
    if missing:
        yield Finding("latest metrics", missing, "Curves have no latest value.")


def _removals(connection: sa.Connection) -> Iterator[Finding]:
    count = _count(connection, t.removals, sa.true())
    if count:
        yield Finding(
            "removals", count, "Removals were cut short or go on: 'headrace db gc --yes' ends them."
        )


CHECKS = (
    Check("file", _pages),
    Check("tables", _tables),
    Check("references", _references),
    Check("orphans", _orphans),
    Check("latest metrics", _latest_metrics),
    Check("removals", _removals),
)


def _count(connection: sa.Connection, table: sa.FromClause, where: Any) -> int:
    found: int = connection.execute(
        select(func.count()).select_from(table).where(where)
    ).scalar_one()
    return found
