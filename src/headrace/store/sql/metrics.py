"""Points of metrics on SQL: logged, and read back as curves."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import codec, limits, metrics
from headrace.protocol.wire import Empty, Int64
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.database import Database
from headrace.store.sql.run_reader import find_run_row
from headrace.store.sql.stages import ACTIVE
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_MODEL = select(t.logged_models.c.id).where(
    t.logged_models.c.model_id == bindparam("model_id"),
    t.logged_models.c.lifecycle_stage == ACTIVE,
)


def add_points(
    transaction: Transaction, pk: int, run_id: str, points: Sequence[metrics.Metric]
) -> None:
    """Note points of a run, and write those that belong to a logged model as its own too."""
    key_id, add = transaction.key_id, transaction.add_point
    metric_value = transaction.dialect.metric_value
    of_models = []
    for point in points:
        add(
            (
                pk,
                key_id(point.key),
                point.step,
                point.timestamp,
                metric_value(point.value),
            )
        )
        if point.model_id:
            of_models.append(_model_row(transaction, run_id, point))
    transaction.put_new(
        t.logged_model_metrics,
        of_models,
    )


def _model_row(transaction: Transaction, run_id: str, point: metrics.Metric) -> dict[str, Any]:
    row = transaction.one(_MODEL, model_id=point.model_id)
    if row is None:
        raise NotFound(f"Logged model '{point.model_id}' not found.")
    return {
        "model": row[0],
        "key": point.key,
        "timestamp": point.timestamp,
        "step": point.step,
        "run_id": run_id,
        "value": transaction.dialect.metric_value(point.value),
        "dataset_name": point.dataset_name or "",
        "dataset_digest": point.dataset_digest or "",
    }


class SqlMetrics:
    """`MetricStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def log(self, transaction: Transaction, request: metrics.LogMetric) -> Empty:
        """Add a point."""
        pk = transaction.find_active_run(request.run_id)[0]
        add_points(transaction, pk, request.run_id, [request.point()])
        return Empty()

    def history(self, request: metrics.GetMetricHistory, /) -> metrics.MetricPage:
        """Return points by (timestamp, step, value)."""
        limit = min(request.max_results or limits.MAX_HISTORY, limits.MAX_HISTORY)
        after = read_token(request.page_token) if request.page_token else None
        with self._database.reading() as connection:
            pk = find_run_row(connection, request.run_id)[0]
            key = _find_key(connection, request.metric_key)
            if key is None:
                return metrics.MetricPage([])
            values = {"run": pk, "key": key, "max_points": limit + 1}
            if after is None:
                rows = connection.rows(_HISTORY, **values)
            else:
                timestamp, step, value = after
                value = connection.dialect.metric_value(value)
                rows = connection.rows(
                    _HISTORY_AFTER, after_timestamp=timestamp, after_step=step,
                    after_value=value, **values,
                )  # fmt: skip
        name = request.metric_key
        points = [
            metrics.Metric(name, float(value), timestamp, step)
            for timestamp, step, value in rows[:limit]
        ]
        token = write_token(points[-1]) if len(rows) > limit else None
        return metrics.MetricPage(points, token)

    def history_bulk_interval(
        self, request: metrics.GetMetricHistoryBulkInterval, /
    ) -> metrics.MetricPage:
        """Return points of several runs by (run, step, timestamp), thinned."""
        wanted = request.max_results or DEFAULT_BULK_POINTS
        found: list[metrics.Metric] = []
        with self._database.reading() as connection:
            key = _find_key(connection, request.metric_key)
            for run_id in request.run_ids:
                pk = find_run_row(connection, run_id)[0]
                if key is None:
                    continue
                bounds = {
                    "run": pk,
                    "key": key,
                    "first": limits.INT64_MIN if request.start_step is None else request.start_step,
                    "last": limits.INT64_MAX if request.end_step is None else request.end_step,
                }
                count = connection.one(_COUNT, **bounds)[0]
                stride = max(1, -(-count // max(1, wanted - 1)))
                rows = connection.rows(_THINNED, stride=stride, count=count, **bounds)
                found += _points(request.metric_key, run_id, rows)
        return metrics.MetricPage(found)

    def history_bulk(self, request: metrics.GetMetricHistoryBulk, /) -> metrics.MetricPage:
        """Return points of several runs by (run, timestamp, step, value), cut at the limit."""
        left = request.max_results or limits.MAX_BULK_HISTORY
        found: list[metrics.Metric] = []
        with self._database.reading() as connection:
            key = _find_key(connection, request.metric_key)
            for run_id in sorted(request.run_id):
                pk = find_run_row(connection, run_id)[0]
                if key is None or left <= 0:
                    continue
                rows = connection.rows(_HISTORY, run=pk, key=key, max_points=left)
                left -= len(rows)
                found += _points(request.metric_key, run_id, rows)
        return metrics.MetricPage(found)


DEFAULT_BULK_POINTS = 320
"""Points of each run where a plot does not say how many it wants."""

_c = t.metrics.c
_OF_METRIC = (_c.run == bindparam("run"), _c.key == bindparam("key"))
_HISTORY = (
    select(_c.timestamp, _c.step, _c.value)
    .where(*_OF_METRIC)
    .order_by(_c.timestamp, _c.step, _c.value)
    .limit(bindparam("max_points", type_=sa.Integer))
)
_HISTORY_AFTER = _HISTORY.where(
    sa.tuple_(_c.timestamp, _c.step, _c.value)
    > sa.tuple_(
        bindparam("after_timestamp", type_=sa.BigInteger),
        bindparam("after_step", type_=sa.BigInteger),
        bindparam("after_value", type_=t.MetricValue),
    )
)
_IN_RANGE = (
    *_OF_METRIC,
    _c.step >= bindparam("first", type_=sa.BigInteger),
    _c.step <= bindparam("last", type_=sa.BigInteger),
)
_COUNT = select(sa.func.count()).select_from(t.metrics).where(*_IN_RANGE)
_numbered = (
    select(
        _c.timestamp,
        _c.step,
        _c.value,
        sa.func.row_number().over(order_by=(_c.step, _c.timestamp, _c.value)).label("number"),
    )
    .where(*_IN_RANGE)
    .subquery()
)
_THINNED = (
    select(_numbered.c.timestamp, _numbered.c.step, _numbered.c.value)
    .where(
        sa.or_(
            (_numbered.c.number - 1) % bindparam("stride", type_=sa.BigInteger) == 0,
            _numbered.c.number == bindparam("count", type_=sa.BigInteger),
        )
    )
    .order_by(_numbered.c.number)
)
_KEY = select(t.keys.c.id).where(t.keys.c.name == bindparam("name"))


def _find_key(connection: Connection, name: str) -> int | None:
    row = connection.one(_KEY, name=name)
    return row[0] if row is not None else None


def _points(key: str, run_id: str, rows: Sequence[Any]) -> list[metrics.Metric]:
    return [
        metrics.Metric(key, float(value), timestamp, step, run_id=run_id)
        for timestamp, step, value in rows
    ]


def write_token(point: metrics.Metric) -> str:
    """The page token for what comes after `point`."""
    place = codec.encode([point.timestamp, point.step, point.value])
    return base64.urlsafe_b64encode(place).decode()


def read_token(token: str) -> tuple[int, int, float]:
    """The (timestamp, step, value) that a page token stands for. Raises InvalidRequest."""
    try:
        place = base64.urlsafe_b64decode(token.encode("ascii"))
        return msgspec.json.decode(place, type=tuple[Int64, Int64, float], strict=False)
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidRequest(
            "Invalid value for 'page_token': it is not one that this call has answered. "
            "Leave it out to start from the first page."
        ) from error
