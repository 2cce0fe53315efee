"""The `Store` of one database."""

from __future__ import annotations

from headrace.store.base import Store
from headrace.store.sql import migrations
from headrace.store.sql.database import Database, database_url
from headrace.store.sql.datasets import SqlDatasets
from headrace.store.sql.experiments import SqlExperiments
from headrace.store.sql.logged_models import SqlLoggedModels
from headrace.store.sql.metrics import SqlMetrics
from headrace.store.sql.model_versions import SqlModelVersions
from headrace.store.sql.registered_models import SqlRegisteredModels
from headrace.store.sql.runs import SqlRuns
from headrace.store.sql.users import SqlUsers


def open_sql_store(uri: str, artifact_root: str) -> Store:
    """Open a database as a `Store`, after bringing its schema up to date."""
    return sql_store(open_database(uri, artifact_root))


def open_database(uri: str, artifact_root: str) -> Database:
    """Open a database, after bringing its schema up to date. See `open_store` for errors."""
    database = Database(database_url(uri), artifact_root)
    migrations.upgrade(database)
    return database


def sql_store(database: Database) -> Store:
    """The narrow stores of an open database."""
    return Store(
        experiments=SqlExperiments(database),
        runs=SqlRuns(database),
        metrics=SqlMetrics(database),
        datasets=SqlDatasets(database),
        logged_models=SqlLoggedModels(database),
        registered_models=SqlRegisteredModels(database),
        model_versions=SqlModelVersions(database),
        close=database.close,
        users=SqlUsers(database),
    )
