"""Statements that many tables need, each built once per table and dialect.

`Connection` compiles a statement once and finds it again by identity, so they are cached here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql

from headrace.store.sql.dialect import Dialect


@cache
def insert_ignoring(dialect: Dialect, table: sa.Table) -> Any:
    """INSERT of all columns but a generated id; a row that is there already stays."""
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def upsert(dialect: Dialect, table: sa.Table) -> Any:
    """INSERT of all columns; a row with the same primary key is overwritten."""
    return _overwriting(_insert(dialect, table), table)


@cache
def insert_arrays(table: sa.Table, overwrite: bool) -> Any:
    """PostgreSQL's INSERT of many rows from one array a column, each bound by its name.

    A row that is there already stays, or is overwritten.
    """
    arrays = [sa.func.unnest(bindparam(c.name, type_=postgresql.ARRAY(c.type))) for c in table.c]
    names = [c.name for c in table.c]
    statement = postgresql.insert(table).from_select(names, sa.select(*arrays))
    return _overwriting(statement, table) if overwrite else statement.on_conflict_do_nothing()


@cache
def insert_returning_id(table: sa.Table) -> Any:
    """INSERT of all columns but the generated id, which it returns."""
    columns = {c.name: bindparam(c.name, type_=c.type) for c in table.c if c.name != "id"}
    return table.insert().values(columns).returning(table.c.id)


def _overwriting(statement: Any, table: sa.Table) -> Any:
    primary = [column.name for column in table.primary_key]
    changed = {c.name: statement.excluded[c.name] for c in table.c if c.name not in primary}
    return statement.on_conflict_do_update(index_elements=primary, set_=changed)


def _insert(dialect: Dialect, table: sa.Table) -> Any:
    generated = table.c.id if "id" in table.c else None
    columns = {c.name: bindparam(c.name, type_=c.type) for c in table.c if c is not generated}
    return dialect.insert(table).values(columns)


@cache
def select_any(
    dialect: Dialect, columns: tuple[Any, ...], among: Any, order: tuple[Any, ...] = ()
) -> Any:
    """SELECT of `columns` where `among` is one of the list bound as `ids`."""
    return sa.select(*columns).where(dialect.any_of(among, "ids")).order_by(*order)
