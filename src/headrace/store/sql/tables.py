"""Every table and column. A change here comes with a migration.

Runs, logged models and the keys of metrics, parameters and tags have small integer ids inside
the database, so that a point of a metric is five short numbers: clustered by (run, key, step),
a curve lies in one place on disk. `latest_metrics` keeps, for each (run, key), the point of the
highest (step, timestamp, value); searches look only there.

A metric's NaN is NULL nowhere: SQLite, which would store NULL, holds the text 'NaN' instead,
which sorts above every number there, as PostgreSQL's own NaN does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData()

Words = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts by code point in both databases, whatever the server's own language."""

Id = BigInteger().with_variant(Integer(), "sqlite")
PREFIX_LENGTH = 128
"""Characters of a parameter's or tag's value that an index holds; long texts would not fit."""


class _PlainDouble(Double[Any]):
    """A double that is bound as it is: SQLAlchemy's makes a float of SQLite's 'NaN' again."""

    def bind_processor(self, dialect: Any) -> None:
        """No processing."""


class MetricValue(TypeDecorator[float]):
    """A double in which NaN survives SQLite."""

    impl = _PlainDouble
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """NaN to the text that stands for it on SQLite."""
        if value is not None and value != value and dialect.name == "sqlite":  # noqa: PLR0124 - NaN
            return "NaN"
        return value

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """The text that stands for NaN back to NaN."""
        return float(value) if value is not None else None


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


schema_info = Table(
    "headrace_schema",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)

experiments = Table(
    "experiments",
    metadata,
    _id(),
    Column("name", Words, nullable=False, unique=True),
    Column("artifact_location", Words, nullable=False),
    Column("lifecycle_stage", Words, nullable=False),
    Column("creation_time", BigInteger, nullable=False),
    Column("last_update_time", BigInteger, nullable=False),
    Column("deleted_time", BigInteger),
    Index("ix_experiments_page", "creation_time", "id"),
    sqlite_autoincrement=True,
)
experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column("experiment", Id, ForeignKey("experiments.id"), primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    _id(),
    Column("name", Words, nullable=False, unique=True),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("run_id", Words, nullable=False, unique=True),
    Column("experiment", Id, ForeignKey("experiments.id"), nullable=False),
    Column("name", Words, nullable=False),
    Column("user_id", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("lifecycle_stage", Words, nullable=False),
    Column("artifact_uri", Words, nullable=False),
    Column("deleted_time", BigInteger),
    Index("ix_runs_page", "experiment", "lifecycle_stage", "start_time", "run_id"),
    sqlite_autoincrement=True,
)
metrics = Table(
    "metrics",
    metadata,
    Column("run", Id, primary_key=True),
    Column("key", Id, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("value", MetricValue, primary_key=True),
    sqlite_with_rowid=False,
)
latest_metrics = Table(
    "latest_metrics",
    metadata,
    Column("run", Id, primary_key=True),
    Column("key", Id, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("value", MetricValue, nullable=False),
    Index("ix_latest_metrics_search", "key", "value", "run"),
    sqlite_with_rowid=False,
)


def _key_values(name: str) -> Table:
    """A table of interned keys and texts of runs, searchable by key and value."""
    table = Table(
        name,
        metadata,
        Column("run", Id, primary_key=True),
        Column("key", Id, primary_key=True),
        Column("value", Words, nullable=False),
        sqlite_with_rowid=False,
    )
    prefix = func.substr(table.c.value, 1, PREFIX_LENGTH)
    Index(f"ix_{name}_search", table.c.key, prefix, table.c.run)
    return table


params = _key_values("params")
tags = _key_values("tags")

datasets = Table(
    "datasets",
    metadata,
    _id(),
    Column("experiment", Id, ForeignKey("experiments.id"), nullable=False),
    Column("name", Words, nullable=False),
    Column("digest", Words, nullable=False),
    Column("source_type", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("schema", Words),
    Column("profile", Words),
    UniqueConstraint("experiment", "name", "digest"),
)
dataset_inputs = Table(
    "dataset_inputs",
    metadata,
    _id(),
    Column("run", Id, nullable=False),
    Column("dataset", Id, nullable=False),
    UniqueConstraint("run", "dataset"),
    Index("ix_dataset_inputs_dataset", "dataset"),
)
dataset_input_tags = Table(
    "dataset_input_tags",
    metadata,
    Column("input", Id, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)
model_inputs = Table(
    "model_inputs",
    metadata,
    Column("run", Id, primary_key=True),
    Column("model_id", Words, primary_key=True),
    sqlite_with_rowid=False,
)
model_outputs = Table(
    "model_outputs",
    metadata,
    Column("run", Id, primary_key=True),
    Column("model_id", Words, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

logged_models = Table(
    "logged_models",
    metadata,
    _id(),
    Column("model_id", Words, nullable=False, unique=True),
    Column("experiment", Id, ForeignKey("experiments.id"), nullable=False),
    Column("name", Words, nullable=False),
    Column("artifact_uri", Words, nullable=False),
    Column("creation_timestamp_ms", BigInteger, nullable=False),
    Column("last_updated_timestamp_ms", BigInteger, nullable=False),
    Column("status", Words, nullable=False),
    Column("lifecycle_stage", Words, nullable=False),
    Column("model_type", Words),
    Column("source_run_id", Words),
    Column("status_message", Words),
    Column("deleted_time", BigInteger),
    Index(
        "ix_logged_models_page",
        "experiment",
        "lifecycle_stage",
        "creation_timestamp_ms",
        "model_id",
    ),
    sqlite_autoincrement=True,
)
logged_model_params = Table(
    "logged_model_params",
    metadata,
    Column("model", Id, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)
logged_model_tags = Table(
    "logged_model_tags",
    metadata,
    Column("model", Id, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)
logged_model_metrics = Table(
    "logged_model_metrics",
    metadata,
    Column("model", Id, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("run_id", Words, primary_key=True),
    Column("value", MetricValue, primary_key=True),
    Column("dataset_name", Words, primary_key=True),
    Column("dataset_digest", Words, primary_key=True),
    sqlite_with_rowid=False,
)

registered_models = Table(
    "registered_models",
    metadata,
    _id(),
    Column("name", Words, nullable=False, unique=True),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("description", Words),
    Column("last_version", Integer, nullable=False),
    sqlite_autoincrement=True,
)
registered_model_tags = Table(
    "registered_model_tags",
    metadata,
    Column("model", Id, ForeignKey("registered_models.id"), primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)
registered_model_aliases = Table(
    "registered_model_aliases",
    metadata,
    Column("model", Id, ForeignKey("registered_models.id"), primary_key=True),
    Column("alias", Words, primary_key=True),
    Column("version", Integer, nullable=False),
    sqlite_with_rowid=False,
)
model_versions = Table(
    "model_versions",
    metadata,
    Column("model", Id, ForeignKey("registered_models.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("current_stage", Words, nullable=False),
    Column("description", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("storage_location", Words, nullable=False),
    Column("run_id", Words, nullable=False),
    Column("model_id", Words),
    Column("status", Words, nullable=False),
    Column("status_message", Words),
    Column("run_link", Words, nullable=False),
    Index("ix_model_versions_run", "run_id"),
    Index("ix_model_versions_model_id", "model_id"),
    sqlite_with_rowid=False,
)
model_version_tags = Table(
    "model_version_tags",
    metadata,
    Column("model", Id, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_with_rowid=False,
)

removals = Table(
    # What `headrace db gc` has taken out of the tables above and not yet cleared away: rows and
    # files that nobody can reach any more. So a removal that was cut short is finished by the
    # next one.
    "removals",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("row_id", Id, primary_key=True),
    Column("public_id", Words, nullable=False),
    Column("artifact_uri", Words, nullable=False),
    sqlite_with_rowid=False,
)

users = Table(
    # Who may use a server. `password_hash` says by itself how it was made.
    "users",
    metadata,
    _id(),
    Column("name", Words, nullable=False, unique=True),
    Column("role", Words, nullable=False),
    Column("password_hash", Words, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
user_tokens = Table(
    "user_tokens",
    metadata,
    Column("token_id", Words, primary_key=True),
    Column("user", Id, ForeignKey("users.id"), nullable=False),
    Column("digest", Words, nullable=False, unique=True),
    Column("note", Words, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
users_revision = Table(
    # One row, counted up by every change to users and tokens.
    "users_revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
