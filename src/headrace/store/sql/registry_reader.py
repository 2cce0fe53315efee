"""Registered models and their versions from rows: any number costs a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import Alias, RegisteredModel
from headrace.protocol.wire import Tag
from headrace.store.sql import tables as t
from headrace.store.sql.connection import Connection
from headrace.store.sql.dialect import Dialect
from headrace.store.sql.statements import select_any
from headrace.store.sql.transaction import Transaction

LATEST_ALIAS: Final = "latest"
"""The alias that nobody sets: it is the highest version."""

_m, _v = t.registered_models.c, t.model_versions.c
MODEL_COLUMNS = (
    _m.id,
    _m.name,
    _m.creation_timestamp,
    _m.last_updated_timestamp,
    _m.description,
)
VERSION_COLUMNS = (
    _v.model,
    _v.version,
    _m.name,
    _v.creation_timestamp,
    _v.last_updated_timestamp,
    _v.current_stage,
    _v.description,
    _v.source,
    _v.run_id,
    _v.status,
    _v.status_message,
    _v.run_link,
    _v.model_id,
    _v.storage_location,
)
VERSIONS = t.model_versions.join(t.registered_models, _m.id == _v.model)

_MODEL = select(*MODEL_COLUMNS).where(_m.name == bindparam("name"))
# Two servers that write to one model, or to its versions, take turns.
_LOCKED_MODEL = _MODEL.with_for_update()
_VERSION = (
    select(*VERSION_COLUMNS)
    .select_from(VERSIONS)
    .where(_v.model == bindparam("model"), _v.version == bindparam("version"))
)
_ALIAS = select(t.registered_model_aliases.c.version).where(
    t.registered_model_aliases.c.model == bindparam("model"),
    t.registered_model_aliases.c.alias == bindparam("alias"),
)
_HIGHEST = select(sa.func.max(_v.version)).where(_v.model == bindparam("model"))


def find_registered_model(connection: Connection | Transaction, name: str) -> Any:
    """The row of a registered model. Raises NotFound."""
    return _check_found(connection.one(_MODEL, name=name), name)


def lock_registered_model(transaction: Transaction, name: str) -> Any:
    """The row of a registered model, held for this transaction. Raises NotFound."""
    return _check_found(transaction.one(_LOCKED_MODEL, name=name), name)


def _check_found(row: Any, name: str) -> Any:
    if row is None:
        raise NotFound(f"Registered model {name!r} not found.")
    return row


def find_version(connection: Connection | Transaction, model: Any, version: int) -> Any:
    """The row of a version of the model whose row is `model`. Raises NotFound."""
    row = connection.one(_VERSION, model=model[0], version=version)
    if row is None:
        raise NotFound(f"Registered model {model[1]!r} has no version {version}.")
    return row


def find_alias(connection: Connection | Transaction, model: Any, alias: str) -> Any:
    """The row of the version behind an alias, or behind `latest`. Raises InvalidRequest."""
    if alias == LATEST_ALIAS:
        row = connection.one(_HIGHEST, model=model[0])
        if row[0] is None:
            raise InvalidRequest(f"Registered model {model[1]!r} has no version yet.")
    else:
        row = connection.one(_ALIAS, model=model[0], alias=alias)
        if row is None:
            raise InvalidRequest(f"Registered model {model[1]!r} has no alias {alias!r}.")
    return find_version(connection, model, row[0])


def whole_models(connection: Connection, rows: Sequence[Any]) -> list[RegisteredModel]:
    """Registered models with tags, aliases and latest versions, in the order of `rows`."""
    found = {row[0]: RegisteredModel(row[1], row[2], row[3], row[4], [], [], []) for row in rows}
    dialect = connection.dialect
    ids = dialect.list_value(list(found))
    for model, key, value in connection.rows(_model_tags(dialect), ids=ids):
        found[model].tags.append(Tag(key, value))
    for model, alias, version in connection.rows(_aliases(dialect), ids=ids):
        found[model].aliases.append(Alias(alias, str(version)))
    for model, version in latest_versions(connection, list(found)):
        found[model].latest_versions.append(version)
    return list(found.values())


def latest_versions(
    connection: Connection, models: Sequence[int]
) -> list[tuple[int, ModelVersion]]:
    """The newest version of each stage of each of `models`, with its model's id."""
    ids = connection.dialect.list_value(models)
    rows = connection.rows(_latest(connection.dialect), ids=ids)
    owners = (row[0] for row in rows)
    return list(zip(owners, whole_versions(connection, rows), strict=True))


def whole_versions(connection: Connection, rows: Sequence[Any]) -> list[ModelVersion]:
    """Versions with tags and aliases from rows of VERSION_COLUMNS, in their order."""
    found = {(row[0], row[1]): _version(row) for row in rows}
    dialect = connection.dialect
    bound = {
        "models": dialect.list_value(sorted({model for model, _ in found})),
        "versions": dialect.list_value(sorted({version for _, version in found})),
    }
    # Asks for every pair of one of the models and one of the versions: some may not be wanted.
    for model, version, key, value in connection.rows(_version_tags(dialect), **bound):
        if (model, version) in found:
            found[model, version].tags.append(Tag(key, value))
    for model, version, alias in connection.rows(_version_aliases(dialect), **bound):
        if (model, version) in found:
            found[model, version].aliases.append(alias)
    return list(found.values())


def _version(row: Any) -> ModelVersion:
    return ModelVersion(
        name=row[2],
        version=str(row[1]),
        creation_timestamp=row[3],
        last_updated_timestamp=row[4],
        current_stage=row[5],
        description=row[6],
        source=row[7],
        run_id=row[8],
        status=row[9],
        status_message=row[10],
        run_link=row[11],
        model_id=row[12],
        tags=[],
        aliases=[],
    )


@cache
def _model_tags(dialect: Dialect) -> Any:
    c = t.registered_model_tags.c
    return select_any(dialect, (c.model, c.key, c.value), c.model, (c.model, c.key))


@cache
def _aliases(dialect: Dialect) -> Any:
    c = t.registered_model_aliases.c
    return select_any(dialect, (c.model, c.alias, c.version), c.model, (c.model, c.alias))


@cache
def _latest(dialect: Dialect) -> Any:
    stages = t.model_versions.alias("stages").c
    newest = (
        select(stages.model, sa.func.max(stages.version))
        .where(dialect.any_of(stages.model, "ids"))
        .group_by(stages.model, stages.current_stage)
    )
    return (
        select(*VERSION_COLUMNS)
        .select_from(VERSIONS)
        .where(sa.tuple_(_v.model, _v.version).in_(newest))
        .order_by(_v.model, _v.version)
    )


@cache
def _version_tags(dialect: Dialect) -> Any:
    c = t.model_version_tags.c
    among = (dialect.any_of(c.model, "models"), dialect.any_of(c.version, "versions"))
    columns = (c.model, c.version, c.key, c.value)
    return select(*columns).where(*among).order_by(c.model, c.version, c.key)


@cache
def _version_aliases(dialect: Dialect) -> Any:
    c = t.registered_model_aliases.c
    among = (dialect.any_of(c.model, "models"), dialect.any_of(c.version, "versions"))
    return select(c.model, c.version, c.alias).where(*among).order_by(c.model, c.alias)
