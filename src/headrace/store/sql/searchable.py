"""Where each search finds its fields: the small table in which the five searches differ.

The names of attributes are those of `headrace.search.fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from headrace.search import Dialect, Kind
from headrace.store.sql import tables as t

Expression = sa.ColumnElement[Any]


@dataclass(frozen=True)
class ByKey:
    """A table of values by owner and key: metrics, parameters or tags.

    `interned`: its keys are the numbers of the `keys` table. `unique`: an owner has a key once;
    where not (points of logged models' metrics) a filter takes any of them, an order the latest.
    `indexed`: an index on key and value leads to the owners; with `by_prefix` it holds the first
    PREFIX_LENGTH characters of the values.
    """

    table: sa.Table
    owner: tuple[str, ...]
    interned: bool = False
    unique: bool = True
    indexed: bool = False
    by_prefix: bool = False


@dataclass(frozen=True)
class Searchable:
    """One entity as a search sees it.

    `source` is what to select from, `identity` the columns that `ByKey.owner` points to, and
    `order` how pages are sorted behind whatever the caller asked for; its last column is unique
    together with those before it.
    """

    source: sa.FromClause
    identity: tuple[sa.Column[Any], ...]
    attributes: Mapping[str, sa.Column[Any]]
    order: tuple[tuple[str, bool], ...]
    by_key: Mapping[Kind, ByKey] = field(default_factory=dict)


def _columns(table: sa.Table, *names: str, **renamed: str) -> dict[str, sa.Column[Any]]:
    """Columns by the name that a search gives them."""
    return {name: table.c[column] for name, column in ({n: n for n in names} | renamed).items()}


_RUNS = Searchable(
    source=t.runs,
    identity=(t.runs.c.id,),
    attributes=_columns(
        t.runs,
        *("run_id", "user_id", "status", "artifact_uri", "start_time", "end_time"),
        run_name="name",
    ),
    order=(("start_time", False), ("run_id", True)),
    by_key={
        Kind.METRIC: ByKey(t.latest_metrics, ("run",), interned=True, indexed=True),
        Kind.PARAM: ByKey(t.params, ("run",), interned=True, indexed=True, by_prefix=True),
        Kind.TAG: ByKey(t.tags, ("run",), interned=True, indexed=True, by_prefix=True),
    },
)
_EXPERIMENTS = Searchable(
    source=t.experiments,
    identity=(t.experiments.c.id,),
    attributes=_columns(
        t.experiments, "name", "creation_time", "last_update_time", experiment_id="id"
    ),
    order=(("creation_time", False), ("experiment_id", True)),
    by_key={Kind.TAG: ByKey(t.experiment_tags, ("experiment",))},
)
_REGISTERED_MODELS = Searchable(
    source=t.registered_models,
    identity=(t.registered_models.c.id,),
    attributes=_columns(
        t.registered_models, "name", "creation_timestamp", "last_updated_timestamp"
    ),
    order=(("name", True),),
    by_key={Kind.TAG: ByKey(t.registered_model_tags, ("model",))},
)
_MODEL_VERSIONS = Searchable(
    source=t.model_versions.join(
        t.registered_models, t.registered_models.c.id == t.model_versions.c.model
    ),
    identity=(t.model_versions.c.model, t.model_versions.c.version),
    attributes={
        "name": t.registered_models.c.name,
        **_columns(
            t.model_versions,
            *("run_id", "source", "version", "creation_timestamp", "last_updated_timestamp"),
        ),
    },
    order=(("last_updated_timestamp", False), ("name", True), ("version", False)),
    by_key={Kind.TAG: ByKey(t.model_version_tags, ("model", "version"))},
)
_LOGGED_MODELS = Searchable(
    source=t.logged_models,
    identity=(t.logged_models.c.id,),
    attributes=_columns(
        t.logged_models,
        *("name", "model_id", "model_type", "source_run_id", "status"),
        *("creation_timestamp_ms", "last_updated_timestamp_ms"),
    ),
    order=(("creation_timestamp_ms", False), ("model_id", True)),
    by_key={
        Kind.METRIC: ByKey(t.logged_model_metrics, ("model",), unique=False),
        Kind.PARAM: ByKey(t.logged_model_params, ("model",)),
        Kind.TAG: ByKey(t.logged_model_tags, ("model",)),
    },
)

SEARCHABLE: Final[Mapping[Dialect, Searchable]] = {
    Dialect.RUNS: _RUNS,
    Dialect.EXPERIMENTS: _EXPERIMENTS,
    Dialect.REGISTERED_MODELS: _REGISTERED_MODELS,
    Dialect.MODEL_VERSIONS: _MODEL_VERSIONS,
    Dialect.LOGGED_MODELS: _LOGGED_MODELS,
}


def key_is(by_key: ByKey, table: sa.FromClause, key: str) -> sa.ColumnElement[bool]:
    """The condition that a row of a by-key table (or of an alias of it) has this key."""
    name = sa.literal(key, sa.Text)
    if by_key.interned:
        number = sa.select(t.keys.c.id).where(t.keys.c.name == name).scalar_subquery()
        return table.c.key == number
    return table.c.key == name


def owned(searchable: Searchable, by_key: ByKey, table: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition that a row of a by-key table belongs to the row of the entity."""
    pairs = zip(by_key.owner, searchable.identity, strict=True)
    return sa.and_(*(table.c[owner] == column for owner, column in pairs))
