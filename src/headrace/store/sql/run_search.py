"""Searching runs on SQL: one query for the page, then a fixed number for what its runs hold."""

from __future__ import annotations

import sqlalchemy as sa

from headrace.protocol import runs
from headrace.protocol.names import check_experiment_id
from headrace.protocol.wire import ViewType, as_enum
from headrace.search import Dialect, parse_filter, parse_order_by
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.paging import Search
from headrace.store.sql.run_reader import RUN_COLUMNS, whole_runs
from headrace.store.sql.stages import in_view


def search_runs(connection: Connection, request: runs.SearchRuns) -> runs.RunPage:
    """A page of runs of the named experiments; none named, an empty page."""
    view = as_enum(ViewType, request.run_view_type or ViewType.ACTIVE_ONLY, "run_view_type")
    parsed = parse_filter(request.filter, Dialect.RUNS)
    order = parse_order_by(request.order_by, Dialect.RUNS)
    ids = sorted({check_experiment_id("experiment_ids", i) for i in request.experiment_ids})
    if not ids:
        return runs.RunPage()
    search = Search(Dialect.RUNS, parsed, order, scope=(ids, view.value))
    statement = search.statement(
        connection.dialect,
        RUN_COLUMNS,
        [_within(ids), *in_view(t.runs, view)],
        request.max_results,
        request.page_token,
    )
    found = connection.sql.execute(statement).all()
    page, token = search.cut(found, request.max_results)
    rows = [row[: len(RUN_COLUMNS)] for row in page]
    return runs.RunPage(whole_runs(connection, rows), token)


def _within(experiments: list[int]) -> sa.ColumnElement[bool]:
    """One experiment is asked for by `=`: the index of pages then keeps its order."""
    column = t.runs.c.experiment
    return column == experiments[0] if len(experiments) == 1 else column.in_(experiments)
