"""`headrace db version`, `upgrade`, `check` and `backup`."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from headrace.protocol import runs
from headrace.protocol.metrics import Metric
from headrace.store.open import open_store
from headrace.store.sql import backup
from headrace.store.sql.database import database_url
from headrace.store.sql.migrations import CURRENT_VERSION
from tests.cli.conftest import Headrace
from tests.cli.databases import counts, execute, log_metric, new_run, opened
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.servers import ServerLauncher


def filled(uri: str) -> runs.RunInfo:
    with opened(uri) as store:
        return new_run(store, points=20)


def findings(headrace: Headrace, uri: str) -> list[tuple[str, int]]:
    ran = headrace("db", "check", "--backend-store-uri", uri)
    assert ran.code == (1 if ran.out else 0)
    lines = [line.split("  ") for line in ran.out.splitlines()[1:]]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return [(check, int(count)) for check, count, *_ in cells]


def test_version_and_upgrade(headrace: Headrace, database_uri: str) -> None:
    place = ("--backend-store-uri", database_uri)
    fresh = headrace("db", "upgrade", *place, "--json").json
    assert fresh == {"before": 0, "after": CURRENT_VERSION}
    again = headrace("db", "upgrade", *place)
    assert "up to date" in again.err
    shown = headrace("db", "version", *place, "--json").json
    assert shown == {"schema_version": CURRENT_VERSION, "needed": CURRENT_VERSION}
    assert str(CURRENT_VERSION) in headrace("db", "version", *place).out


@pytest.mark.parametrize("command", ["version", "check", "gc"])
def test_a_database_that_is_not_there(headrace: Headrace, tmp_path: Path, command: str) -> None:
    ran = headrace("db", command)
    assert ran.code == 3
    assert "There is no database" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_is_left_alone(headrace: Headrace, sqlite_uri: str) -> None:
    open_store(sqlite_uri).close()
    execute(sqlite_uri, f"UPDATE headrace_schema SET version = {CURRENT_VERSION + 1}")
    for command in ("upgrade", "check"):
        ran = headrace("db", command, "--backend-store-uri", sqlite_uri)
        assert ran.code == 4
        assert str(CURRENT_VERSION + 1) in ran.err


def test_another_programs_database_is_left_alone(headrace: Headrace, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
    connection.close()
    before = file.read_bytes()
    for words in (("db", "upgrade"), ("db", "check"), ("server", "--port", "0"), ("users", "list")):
        ran = headrace(*words, "--backend-store-uri", f"sqlite:///{file}")
        assert ran.code == 4, words
        assert "belongs to MLflow" in ran.err
        assert "headrace sync" in ran.err
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_a_sound_database(headrace: Headrace, database_uri: str) -> None:
    filled(database_uri)
    ran = headrace("db", "check", "--backend-store-uri", database_uri)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("Sound: ")
    as_json = headrace("db", "check", "--backend-store-uri", database_uri, "--json").json
    assert as_json == {"sound": True, "findings": []}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE latest_metrics SET step = step - 1", [("latest metrics", 1)] * 2),
        ("DELETE FROM latest_metrics", [("latest metrics", 1)]),
        ("DELETE FROM metrics", [("latest metrics", 1)]),
        ("UPDATE params SET run = run + 1", [("orphans", 1)]),
        ("DELETE FROM runs", [("orphans", 20), ("orphans", 1), ("orphans", 1), ("orphans", 2)]),
        ("DELETE FROM keys WHERE name = 'depth'", [("references", 1)]),
        ("DROP TABLE logged_model_tags", [("tables", 1)]),
    ],
)
def test_damage_is_found(
    headrace: Headrace, database_uri: str, damage: str, found: list[tuple[str, int]]
) -> None:
    filled(database_uri)
    execute(database_uri, damage)
    assert findings(headrace, database_uri) == found


def test_a_broken_reference_is_found(headrace: Headrace, sqlite_uri: str) -> None:
    filled(sqlite_uri)
    execute(sqlite_uri, "UPDATE runs SET experiment = 77")
    assert findings(headrace, sqlite_uri) == [("references", 1)]


def test_nan_is_no_damage(headrace: Headrace, database_uri: str) -> None:
    with opened(database_uri) as store:
        info = new_run(store)
        points = [Metric("odd", float("nan"), 1, 1), Metric("odd", 1.0, 1, 1)]
        store.runs.log_batch(runs.LogBatch(info.run_id, metrics=points))
    assert findings(headrace, database_uri) == []


def test_a_broken_file_is_found_and_not_copied(
    headrace: Headrace, sqlite_uri: str, tmp_path: Path
) -> None:
    filled(sqlite_uri)
    file = Path(sqlite_uri.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_runs_page'"
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with file.open("r+b") as raw:
        raw.seek((root - 1) * size)
        raw.write(b"\xff" * size)
    ran = headrace("db", "check", "--backend-store-uri", sqlite_uri)
    assert ran.code == 1
    ran = headrace("db", "backup", "copy.db", "--backend-store-uri", sqlite_uri)
    assert ran.code == 1
    assert "thrown away" in ran.err
    assert not list(tmp_path.glob("*copy.db*"))


def test_a_backup_beside_a_server_that_is_written_to(
    headrace: Headrace,
    tmp_path: Path,
    start_server: ServerLauncher,
    sqlite_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Many steps, with commits between them, though the database is small.
    monkeypatch.setattr(backup, "PAGES", 1)
    server = start_server(backend_store_uri=sqlite_uri)
    stop = threading.Event()
    acknowledged: list[int] = []
    with opened(server.url) as store:
        info = new_run(store, points=1)

        def write() -> None:
            while not stop.is_set():
                log_metric(store, info.run_id, len(acknowledged))
                acknowledged.append(len(acknowledged))

        writer = threading.Thread(target=write)
        writer.start()
        while len(acknowledged) < 50:
            stop.wait(0.01)
        before = len(acknowledged)
        made = headrace("db", "backup", "copy.db", "--backend-store-uri", sqlite_uri, "--json").json
        after = len(acknowledged)
        stop.set()
        writer.join()
    copy = tmp_path / "copy.db"
    assert made == {"file": "copy.db", "bytes": copy.stat().st_size}
    with sqlite3.connect(copy) as connection:
        steps = [
            row[0]
            for row in connection.execute(
                "SELECT step FROM metrics WHERE timestamp > 1000 ORDER BY 1"
            )
        ]
        latest = connection.execute("SELECT max(step) FROM latest_metrics").fetchone()[0]
    connection.close()
    assert steps == list(range(1, len(steps) + 1))
    assert before - 1 <= len(steps) <= after
    assert latest == steps[-1]
    assert findings(headrace, "sqlite:///copy.db") == []
    assert {path.name for path in tmp_path.glob("*copy.db*")} <= {
        "copy.db", "copy.db-shm", "copy.db-wal"
    }  # fmt: skip
    with opened(f"sqlite:///{copy}") as store:
        assert store.runs.get(runs.RunRef(info.run_id)).run.info.run_id == info.run_id


def test_commits_do_not_make_a_backup_start_over(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES", 1)
    filled(sqlite_uri)
    seen: list[int] = []

    def commit_between_steps(done: int, total: int) -> None:
        seen.append(done)
        assert len(seen) <= total, "it started over"
        if done < 10:
            execute(sqlite_uri, f"UPDATE runs SET name = 'step {done}'")

    backup.back_up(sqlite_uri, tmp_path / "copy.db", commit_between_steps)
    assert len(seen) > 20
    assert seen == sorted(seen)
    with opened(f"sqlite:///{tmp_path}/copy.db") as store:
        [run] = store.runs.search(runs.SearchRuns(["0"])).runs
    assert run.info.run_name == "run"


def test_a_backup_does_not_replace_by_accident(
    headrace: Headrace, sqlite_uri: str, tmp_path: Path
) -> None:
    filled(sqlite_uri)
    (tmp_path / "copy.db").write_text("precious")
    place = ("--backend-store-uri", sqlite_uri)
    ran = headrace("db", "backup", "copy.db", *place)
    assert ran.code == 4
    assert "--overwrite" in ran.err
    assert (tmp_path / "copy.db").read_text() == "precious"
    assert headrace("db", "backup", "copy.db", *place, "--overwrite").code == 0
    assert counts("sqlite:///copy.db")["runs"] == 1
    assert headrace("db", "backup", "no/folder/copy.db", *place).code == 3
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0


def test_a_backup_of_postgresql_can_be_restored(
    headrace: Headrace,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with postgres.new_database() as uri, postgres.new_database() as other:
        filled(uri)
        monkeypatch.setenv("PATH", f"{postgres.programs}{os.pathsep}{os.environ['PATH']}")
        ran = headrace("db", "backup", "copy.dump", "--backend-store-uri", uri)
        assert ran.code == 0, ran.err
        restore = shutil.which("pg_restore")
        assert restore
        subprocess.run(
            [restore, "--no-owner", f"--dbname={other}", tmp_path / "copy.dump"], check=True
        )
        assert counts(other) == counts(uri)
        assert findings(headrace, other) == []


def test_what_a_backup_of_postgresql_needs(
    headrace: Headrace, postgres_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = headrace("db", "backup", "copy.dump", "--backend-store-uri", postgres_uri)
    assert ran.code == 1
    assert "pg_dump" in ran.err
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'server version mismatch' >&2\nexit 1\n")
    program.chmod(0o755)
    ran = headrace("db", "backup", "copy.dump", "--backend-store-uri", postgres_uri)
    assert ran.code == 1
    assert "server version mismatch" in ran.err
    assert list(tmp_path.glob("*copy.dump*")) == []


def test_a_password_is_not_among_the_arguments(
    headrace: Headrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        '#!/bin/sh\nprintf "%s " "$@" > args; echo "$PGPASSWORD" > password\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    uri = "postgresql://ann:secret@127.0.0.1:1/runs"
    assert headrace("db", "backup", "copy.dump", "--backend-store-uri", uri).code == 1
    assert "secret" not in (tmp_path / "args").read_text()
    assert "postgresql://ann@127.0.0.1:1/runs" in (tmp_path / "args").read_text()
    assert (tmp_path / "password").read_text() == "secret\n"


def test_a_database_that_cannot_be_reached(headrace: Headrace, free_port: int) -> None:
    uri = f"postgresql://ann:secret@127.0.0.1:{free_port}/runs"
    ran = headrace("db", "check", "--backend-store-uri", uri)
    assert ran.code == 1
    assert "secret" not in ran.err
    assert sa.make_url(uri).password == "secret"
    assert database_url(uri).host == "127.0.0.1"
