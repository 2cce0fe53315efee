"""Whole logged models from their rows: a page of any size costs a fixed number of queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import NotFound
from headrace.protocol import logged_models
from headrace.protocol.metrics import Metric
from headrace.protocol.wire import Param, Tag
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.stages import ACTIVE
from headrace.store.sql.statements import select_any
from headrace.store.sql.transaction import Transaction

VERSIONS_TAG: Final = "mlflow.modelVersions"
"""The tag in which a logged model lists, as JSON, the versions that were made from it."""

_c = t.logged_models.c
MODEL_COLUMNS = (
    _c.id,
    _c.model_id,
    _c.experiment,
    _c.name,
    _c.creation_timestamp_ms,
    _c.last_updated_timestamp_ms,
    _c.artifact_uri,
    _c.status,
    _c.model_type,
    _c.source_run_id,
    _c.status_message,
    _c.lifecycle_stage,
)
_MODEL = select(*MODEL_COLUMNS).where(_c.model_id == bindparam("model_id"))
# Two servers that write to one model take turns: each sees what the other has written.
_LOCKED_MODEL = _MODEL.with_for_update()


def find_model(
    connection: Connection | Transaction, model_id: str, *, deleted_too: bool = False
) -> Any:
    """The row of a logged model. Raises NotFound."""
    return _check_found(connection.one(_MODEL, model_id=model_id), model_id, deleted_too)


def find_model_to_write(transaction: Transaction, model_id: str) -> Any:
    """The row of a logged model, held for this transaction. Raises NotFound."""
    return _check_found(transaction.one(_LOCKED_MODEL, model_id=model_id), model_id, False)


def _check_found(row: Any, model_id: str, deleted_too: bool) -> Any:
    if row is None:
        raise NotFound(f"Logged model '{model_id}' not found.")
    if row[-1] != ACTIVE and not deleted_too:
        raise NotFound(f"Logged model '{model_id}' is deleted.")
    return row


def whole_models(connection: Connection, rows: Sequence[Any]) -> list[logged_models.LoggedModel]:
    """Logged models with parameters, tags, metrics and registrations, in the order of `rows`."""
    found = {row[0]: _model(row) for row in rows}
    dialect = connection.dialect
    ids = dialect.list_value(list(found))
    for model, key, value in connection.rows(_params(dialect), ids=ids):
        found[model].data.params.append(Param(key, value))
    for model, key, value in connection.rows(_tags(dialect), ids=ids):
        found[model].info.tags.append(Tag(key, value))
    for model, *fields in connection.rows(_metrics(dialect), ids=ids):
        entry = found[model]
        entry.data.metrics.append(_metric(entry.info.model_id, fields))
    by_model_id = {model.info.model_id: model for model in found.values()}
    model_ids = dialect.list_value(list(by_model_id))
    for model_id, name, version in connection.rows(_registrations(dialect), ids=model_ids):
        registration = logged_models.Registration(name, str(version))
        by_model_id[model_id].info.registrations.append(registration)
    return list(found.values())


def _model(row: Any) -> logged_models.LoggedModel:
    info = logged_models.LoggedModelInfo(
        model_id=row[1],
        experiment_id=str(row[2]),
        name=row[3],
        creation_timestamp_ms=row[4],
        last_updated_timestamp_ms=row[5],
        artifact_uri=row[6],
        status=logged_models.LoggedModelStatus(row[7]),
        model_type=row[8],
        source_run_id=row[9],
        status_message=row[10],
        tags=[],
        registrations=[],
    )
    return logged_models.LoggedModel(info, logged_models.LoggedModelData([], []))


def _metric(model_id: str, fields: Sequence[Any]) -> Metric:
    key, value, timestamp, step, run_id, dataset_name, dataset_digest = fields
    return Metric(
        key,
        float(value),
        timestamp,
        step,
        model_id,
        dataset_name or None,
        dataset_digest or None,
        run_id,
    )


@cache
def _params(dialect: Dialect) -> Any:
    c = t.logged_model_params.c
    return select_any(dialect, (c.model, c.key, c.value), c.model, (c.model, c.key))


@cache
def _tags(dialect: Dialect) -> Any:
    c = t.logged_model_tags.c
    return select_any(dialect, (c.model, c.key, c.value), c.model, (c.model, c.key))


@cache
def _metrics(dialect: Dialect) -> Any:
    """The latest point of each (key, run, data set)."""
    c = t.logged_model_metrics.c
    series = (c.model, c.key, c.run_id, c.dataset_name, c.dataset_digest)
    newest = (c.timestamp.desc(), c.step.desc(), c.value.desc())
    place = sa.func.row_number().over(partition_by=series, order_by=newest).label("place")
    columns = (
        c.model,
        c.key,
        c.value,
        c.timestamp,
        c.step,
        c.run_id,
        c.dataset_name,
        c.dataset_digest,
    )
    points = select_any(dialect, (*columns, place), c.model).subquery()
    own = [points.c[column.name] for column in columns]
    order = [points.c[column.name] for column in series]
    return select(*own).where(points.c.place == 1).order_by(*order)


@cache
def _registrations(dialect: Dialect) -> Any:
    versions, models = t.model_versions.c, t.registered_models.c
    return (
        select(versions.model_id, models.name, versions.version)
        .join_from(t.model_versions, t.registered_models, models.id == versions.model)
        .where(dialect.any_of(versions.model_id, "ids"))
        .order_by(models.name, versions.version)
    )


def versions_tag(text: str, *more: tuple[str, int]) -> str:
    """The list of versions in a VERSIONS_TAG, with `more` at its end and each version once.

    The server and MLflow's client both write it, the one with numbers, the other with texts.
    A text that is no such list is kept if there is nothing to add, and replaced otherwise.
    """
    try:
        listed = json.loads(text) if text else []
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(_names_version(entry) for entry in listed):
        if not more:
            return text
        listed = []
    listed += [{"name": name, "version": version} for name, version in more]
    once: dict[tuple[str, str], object] = {}
    for entry in listed:
        once.setdefault((entry["name"], str(entry["version"])), entry)
    return json.dumps(list(once.values()))


def _names_version(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str) and "version" in entry
