"""Versions of the schema, and the way from each to the next.

`upgrade` runs at start-up, in one transaction, while every other process that starts waits for
it. Version 1 is the first release; a later version adds one function to `MIGRATIONS` and keeps
the earlier ones as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from headrace.errors import InvalidState, Unavailable
from headrace.protocol.experiments import DEFAULT_EXPERIMENT_ID, DEFAULT_EXPERIMENT_NAME
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database


def _create(connection: sa.Connection) -> None:
    t.metadata.create_all(connection)


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_create,)
"""The function at index n leads from version n to version n + 1."""

CURRENT_VERSION = len(MIGRATIONS)


def schema_version(connection: sa.Connection) -> int:
    """The version of the schema that is there; 0 for an empty database.

    Raises InvalidState for a database of another program, MLflow's too: it is left alone.
    """
    found = set(sa.inspect(connection).get_table_names())
    if t.schema_info.name in found:
        version = connection.execute(sa.select(t.schema_info.c.version)).scalar()
        return int(version or 0)
    if "alembic_version" in found and "experiments" in found:
        # As text without a password: it may be typed again, and this may end up in a log.
        address = connection.engine.url.render_as_string().replace("+psycopg", "", 1)
        raise InvalidState(
            "This database belongs to MLflow. Headrace keeps its own schema and has changed "
            "nothing here. To go on with what MLflow has tracked, copy it into a database for "
            f"Headrace:\n\n  headrace sync {address} sqlite:///headrace.db\n\n"
            "Then use that one; it can be copied again later, and only what is new will be."
        )
    if found:
        some = ", ".join(sorted(found)[:3])
        raise InvalidState(
            f"This database holds tables of another program ({some}). Nothing was changed: "
            "choose an empty database."
        )
    return 0


def upgrade(database: Database) -> tuple[int, int]:
    """Bring the schema up to date; returns the versions before and after.

    Raises InvalidState if the database is newer than this program, or another program's.
    """
    connection = database.connect()
    try:
        database.dialect.begin_migration(connection.sql)
        before = schema_version(connection.sql)
        if before > CURRENT_VERSION:
            raise InvalidState(
                f"The database has schema version {before}, this Headrace knows versions up to "
                f"{CURRENT_VERSION}. Nothing was changed: install the newer Headrace that "
                "wrote it, or restore a backup from before it."
            )
        for migrate in MIGRATIONS[before:]:
            migrate(connection.sql)
        if before < CURRENT_VERSION:
            connection.sql.execute(t.schema_info.delete())
            connection.sql.execute(t.schema_info.insert().values(id=1, version=CURRENT_VERSION))
        _ensure_default_experiment(connection.sql, database.artifact_root)
        connection.sql.exec_driver_sql("COMMIT")
    except sa.exc.DBAPIError as error:
        said = str(error.orig).strip().partition("\n")[0].rstrip(".")
        raise database.dialect.translate(error.orig or error) or Unavailable(
            f"The tables of the database cannot be made or brought up to date: {said}. Nothing "
            "was changed: check that this user may make tables there."
        ) from error
    finally:
        connection.close()
    return before, CURRENT_VERSION


def _ensure_default_experiment(connection: sa.Connection, artifact_root: str) -> None:
    number = int(DEFAULT_EXPERIMENT_ID)
    known = sa.select(t.experiments.c.id).where(t.experiments.c.id == number)
    if connection.execute(known).first() is None:
        now = now_ms()
        connection.execute(
            t.experiments.insert().values(
                id=number,
                name=DEFAULT_EXPERIMENT_NAME,
                artifact_location=f"{artifact_root.rstrip('/')}/{number}",
                lifecycle_stage="active",
                creation_time=now,
                last_update_time=now,
            )
        )
