"""Which databases are taken, and that others are left as they were."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from headrace.errors import InvalidRequest, InvalidState, Unavailable
from headrace.store.open import open_store
from headrace.store.sql import tables as t
from headrace.store.sql.database import Database, database_url
from headrace.store.sql.migrations import CURRENT_VERSION, upgrade
from headrace.testing.store_builders import get_run, new_run


def run_sql(uri: str, *statements: str) -> None:
    """Run statements as another program would."""
    engine = sa.create_engine(database_url(uri))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def table_names(uri: str) -> set[str]:
    engine = sa.create_engine(database_url(uri))
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_a_new_database_gets_the_current_schema_once(database_uri: str) -> None:
    database = Database(database_url(database_uri), "mlflow-artifacts:")
    assert upgrade(database) == (0, CURRENT_VERSION)
    assert upgrade(database) == (CURRENT_VERSION, CURRENT_VERSION)
    database.close()
    assert table_names(database_uri) == set(t.metadata.tables)


def test_what_is_there_is_still_there_when_opened_again(database_uri: str) -> None:
    store = open_store(database_uri)
    run = get_run(store, new_run(store))
    store.close()
    store = open_store(database_uri)
    assert get_run(store, run.info.run_id) == run
    store.close()


def test_a_newer_database_is_refused(database_uri: str) -> None:
    open_store(database_uri).close()
    newer = CURRENT_VERSION + 1
    run_sql(database_uri, f"UPDATE headrace_schema SET version = {newer}")
    with pytest.raises(InvalidState, match=f"(?s){newer}.*{CURRENT_VERSION}.*newer Headrace"):
        open_store(database_uri)
    run_sql(database_uri, f"UPDATE headrace_schema SET version = {CURRENT_VERSION}")
    open_store(database_uri).close()


@pytest.mark.parametrize(
    ("tables", "owner"),
    [(("alembic_version", "experiments"), "MLflow"), (("orders",), "orders")],
)
def test_another_programs_database_is_refused(
    database_uri: str, tables: tuple[str, ...], owner: str
) -> None:
    run_sql(database_uri, *(f"CREATE TABLE {name} (id INTEGER)" for name in tables))
    path = Path(database_uri.removeprefix("sqlite:///"))
    before = hashlib.sha256(path.read_bytes()).digest() if path.exists() else None
    with pytest.raises(InvalidState, match=owner) as refused:
        open_store(database_uri)
    command = f"headrace sync {database_uri.partition(':')[0]}:///" if before else "headrace sync "
    assert (command in refused.value.message) == (owner == "MLflow")
    assert table_names(database_uri) == set(tables)
    if before is not None:
        assert hashlib.sha256(path.read_bytes()).digest() == before
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_no_database(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to have been one " * 100)
    before = text.read_bytes()
    for path, problem in (
        (text, "not a healthy SQLite database"),
        (tmp_path, "cannot be opened"),
        (tmp_path / "nowhere" / "headrace.db", "folder"),
    ):
        with pytest.raises(Unavailable, match=problem):
            open_store(f"sqlite:///{path}")
    assert text.read_bytes() == before


@pytest.mark.parametrize(
    "uri",
    ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "ftp://h", "/a/path", "", "sqlite:/x:y@"],
)
def test_uris_that_name_no_store(uri: str) -> None:
    with pytest.raises(InvalidRequest):
        open_store(uri)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(Unavailable) as caught:
        open_store("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)


def test_a_user_who_may_make_no_tables_is_told_so_without_sql(postgres_uri: str) -> None:
    run_sql(
        postgres_uri,
        "DROP ROLE IF EXISTS headrace_guest",
        "CREATE ROLE headrace_guest LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    guest = sa.make_url(postgres_uri).set(username="headrace_guest")
    with pytest.raises(Unavailable, match="may make tables") as raised:
        open_store(guest.render_as_string(hide_password=False))
    run_sql(postgres_uri, "DROP ROLE headrace_guest")
    assert "CREATE TABLE" not in raised.value.message


def test_an_address_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidRequest, match="mysql") as raised:
        open_store("mysql+pymysql://ann:secret@db.example/runs")
    assert "secret" not in raised.value.message
