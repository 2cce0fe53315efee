"""MLflow's stores of several versions, kept as text, read as sources."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.sync.mlflow_database import MlflowDatabase
from headrace.sync.source import Files
from tests.sync.mlflow_answers import (
    correct_steps,
    differences,
    files_below,
    in_our_words,
    links,
    shown,
)
from tests.sync.mlflow_stores import MadeStore, close_all, kept_database, kept_folder, opened

KEPT: dict[str, Callable[[Path], MadeStore]] = {
    "database 3.17": lambda home: kept_database("3.17", home),
    "database 1.30": lambda home: kept_database("1.30", home),
    "mlruns 1.30": lambda home: kept_folder("1.30", home),
    "database 2.22": lambda home: kept_database("2.22", home),
    "mlruns 3.17": lambda home: kept_folder("3.17", home),
    "mlruns 2.22": lambda home: kept_folder("2.22", home),
}


@pytest.fixture(autouse=True)
def _sources_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> MadeStore:
    return KEPT[request.param](tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> MadeStore:
    return kept_database("3.17", tmp_path)


def _execute(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def _full_run(made: MadeStore) -> str:
    runs: dict[str, Any] = made.answers["runs"]
    return next(run_id for run_id, run in runs.items() if run["run_name"] == "full")


def test_shows_all_that_mlflow_answers(kept: MadeStore) -> None:
    source = opened(kept.uri)
    answers = in_our_words(kept.answers)
    if kept.folder.joinpath("0").exists():
        correct_steps(answers["runs"])
    assert differences(shown(source), answers) == []
    assert source.complaints == []


def test_bytes_and_times_of_a_sqlite_file_stay(database: MadeStore) -> None:
    os.utime(database.file, ns=(1, 1_600_000_000_000_000_000))
    before = (database.file.read_bytes(), database.file.stat().st_mtime_ns)
    source = opened(database.uri)
    shown(source)
    source.close()
    assert (database.file.read_bytes(), database.file.stat().st_mtime_ns) == before
    assert {path.name for path in database.home.iterdir()} == {"mlflow.db", "mlruns"}


def test_a_file_at_rest_in_wal_mode_gets_no_files_beside_it(database: MadeStore) -> None:
    _execute(database.file, "PRAGMA journal_mode = wal")
    before = database.file.read_bytes()
    source = opened(database.uri)
    assert len(list(source.experiments())) == 3
    source.close()
    assert database.file.read_bytes() == before
    assert {path.name for path in database.home.iterdir()} == {"mlflow.db", "mlruns"}


def test_what_a_writer_adds_meanwhile_is_seen_in_wal_mode(database: MadeStore) -> None:
    _execute(database.file, "PRAGMA journal_mode = wal")
    source = opened(database.uri)
    assert len(list(source.experiments())) == 3
    writer = sqlite3.connect(database.file)
    writer.execute("INSERT INTO experiments (experiment_id, name) VALUES (77, 'added meanwhile')")
    writer.commit()
    assert "added meanwhile" in [experiment.name for experiment in source.experiments()]
    writer.close()
    source.close()


def test_a_writer_is_not_held_up_by_a_half_read_iterator(database: MadeStore) -> None:
    source = opened(database.uri)
    reading = source.experiments()
    next(reading)
    writer = sqlite3.connect(database.file, timeout=0)
    writer.execute("INSERT INTO experiments (experiment_id, name) VALUES (77, 'new')")
    writer.commit()
    writer.close()
    source.close()


def test_what_was_written_half_way_is_said_to_need_repair(database: MadeStore) -> None:
    from headrace.errors import InvalidState

    database.file.with_name("mlflow.db-journal").write_bytes(b"half")
    database.file.write_bytes(database.file.read_bytes()[:5000])
    with pytest.raises(InvalidState, match="may have died half way"):
        shown(opened(database.uri))


def test_what_an_old_schema_lacks_is_empty(tmp_path: Path) -> None:
    made = kept_database("2.22", tmp_path)
    gone = ("inputs", "datasets", "experiment_tags", "registered_models", "model_versions")
    _execute(
        made.file,
        *(f"DROP TABLE {name}" for name in gone),
        "ALTER TABLE runs DROP COLUMN deleted_time",
        "ALTER TABLE experiments DROP COLUMN creation_time",
        "ALTER TABLE experiments DROP COLUMN last_update_time",
        "UPDATE runs SET name = NULL, user_id = NULL, start_time = NULL",
    )
    found = shown(opened(made.uri))
    assert found["logged_models"] == found["registered_models"] == {}
    assert {e["creation_time"] for e in found["experiments"].values()} == {0}
    run = found["runs"][_full_run(made)]
    # The name and the user are in tags too: there they were in MLflow 1.
    assert (run["run_name"], run["user_id"], run["start_time"]) == ("full", "ada", 0)
    assert run["datasets"] == []
    assert len(run["metrics"]["loss"]) == 5


def test_what_is_called_the_same_in_two_workspaces_is_told_apart(database: MadeStore) -> None:
    columns = "version, creation_time, last_updated_time, current_stage, source, status"
    _execute(
        database.file,
        "INSERT INTO experiments (experiment_id, name, workspace) "
        "VALUES (9, 'trained models', 'blue')",
        "INSERT INTO registered_models (name, workspace) VALUES ('plain', 'blue')",
        f"INSERT INTO model_versions (name, workspace, {columns}) "
        "VALUES ('plain', 'blue', 1, 1, 1, 'None', 's3://blue/model', 'READY')",
        "INSERT INTO model_version_tags (name, workspace, version, key, value) "
        "VALUES ('plain', 'blue', 1, 'n', 'of blue')",
    )
    source = opened(database.uri)
    names = [experiment.name for experiment in source.experiments()]
    assert names == ["Default", "trained models", "given up", "trained models (blue)"]
    assert {"plain", "plain (blue)"} < {model.name for model in source.registered_models()}
    (version,) = source.model_versions("plain (blue)")
    assert (version.source, version.tags[0].value) == ("s3://blue/model", "of blue")
    assert len(list(source.model_versions("plain"))) == 5


def test_a_point_of_two_logged_models_comes_once_for_each(database: MadeStore) -> None:
    pending = next(
        i for i, model in database.answers["logged_models"].items() if model["name"] == "pending"
    )
    _execute(
        database.file,
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, "
        "metric_step, metric_value, experiment_id, run_id) "
        f"SELECT '{pending}', metric_name, metric_timestamp_ms, metric_step, metric_value, "
        "experiment_id, run_id FROM logged_model_metrics WHERE metric_name = 'loss2'",
    )
    found = links(opened(database.uri).history(_full_run(database), "loss2"))
    assert {model for _, model, _, _ in found} >= {pending}
    assert len(found) == 2


def test_only_the_value_that_a_logged_model_has_is_its_own(database: MadeStore) -> None:
    run_id = _full_run(database)
    _execute(
        database.file,
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) "
        f"SELECT key, 0.5, timestamp, step, '{run_id}', 0 FROM metrics WHERE key = 'model/f1'",
    )
    points = list(opened(database.uri).history(run_id, "model/f1"))
    assert sorted((p.value, p.model_id is not None) for p in points) == [
        *((0.5, False), (0.5, False)),
        *((0.75, True), (0.875, True)),
    ]


NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT {})"


def test_more_points_than_a_page_come_once_each(database: MadeStore) -> None:
    _execute(
        database.file,
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) "
        + NUMBERS.format(20_500)
        # Steps and times that are shared, and NaN beside zero: a page may end anywhere.
        + f" SELECT 'many', n / 2 % 3, n / 1000, n % 2, '{_full_run(database)}', "
        "n % 3000 = 0 FROM numbers GROUP BY 2, 3, 4, 6",
        f"UPDATE metrics SET value = 0 WHERE is_nan AND run_uuid = '{_full_run(database)}'",
        "INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) "
        + NUMBERS.format(20_500)
        + f" SELECT 'many', n, 5, 7, '{_full_run(database)}', 0 FROM numbers",
    )
    counted = sqlite3.connect(database.file)
    expected = counted.execute("SELECT count(*) FROM metrics WHERE key = 'many'").fetchone()[0]
    counted.close()
    points = list(opened(database.uri).history(_full_run(database), "many"))
    assert len(points) == expected > 20_500
    assert len({(p.step, p.timestamp, str(float(p.value))) for p in points}) == expected


def test_more_runs_and_experiments_than_a_page_come_once_each(database: MadeStore) -> None:
    _execute(
        database.file,
        "INSERT INTO experiments (experiment_id, name) "
        + NUMBERS.format(1001)
        + " SELECT 1000 + n, 'e' || n FROM numbers",
        "INSERT INTO runs (run_uuid, experiment_id, status) "
        + NUMBERS.format(201)
        + " SELECT 'run' || n, 1000, 'FINISHED' FROM numbers",
        "INSERT INTO params (run_uuid, key, value) "
        + NUMBERS.format(201)
        + " SELECT 'run' || n, 'n', n FROM numbers",
        "INSERT INTO registered_models (name) "
        + NUMBERS.format(201)
        + " SELECT 'm' || n FROM numbers",
        "INSERT INTO model_versions (name, version) "
        + NUMBERS.format(201)
        + " SELECT 'm0', n + 1 FROM numbers",
    )
    source = opened(database.uri)
    assert len({e.experiment_id for e in source.experiments()}) == 1004
    runs = list(source.runs("1000"))
    assert {run.info.run_id: run.data.params[0].value for run in runs} == {
        f"run{n}": str(n) for n in range(201)
    }
    assert len(runs) == 201
    names = [model.name for model in source.registered_models()]
    assert len(names) == len(set(names)) == 201 + 4
    assert [int(v.version) for v in source.model_versions("m0")] == list(range(1, 202))


def test_what_is_not_copied_is_counted(database: MadeStore) -> None:
    _execute(database.file, "CREATE TABLE webhooks (id)", "INSERT INTO webhooks VALUES (1)")
    source = opened(database.uri)
    assert isinstance(source, MlflowDatabase)
    assert source.left_out() == {
        "traces": 2,
        "webhooks": 1,
        "deleted logged models": 1,
        "deleted model versions": 1,
    }
    assert "traces: 2, webhooks: 1" in source.notes[0]


def test_a_deleted_version_is_left_out_and_the_others_keep_their_numbers(kept: MadeStore) -> None:
    # MLflow 1 could not register models in folders.
    expected = "1 2 3 5 6" if "plain" in kept.answers["registered_models"] else ""
    source = opened(kept.uri)
    assert [v.version for v in source.model_versions("plain")] == expected.split()


@pytest.mark.parametrize("version", ["database", "mlruns"])
def test_a_version_knows_the_logged_model_behind_it(tmp_path: Path, version: str) -> None:
    made = KEPT[f"{version} 3.17"](tmp_path)
    source = opened(made.uri)
    (_, of_model) = source.model_versions("new name")
    assert of_model.model_id == of_model.source.removeprefix("models:/")
    files = source.artifacts("models:/new name/2")
    assert list(files_below(files)) == list(files_below(source.artifacts(of_model.source)))


def test_a_database_of_postgresql_is_read_in_a_transaction_that_cannot_write(
    postgres_uri: str,
) -> None:
    import psycopg

    from headrace.errors import Unavailable
    from headrace.sync.mlflow_rows import PostgresRows

    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (text text)")
        rows = PostgresRows(postgres_uri)
        assert rows.all("SELECT text FROM notes WHERE text = ?", ["?"]) == []
        connection.execute("INSERT INTO notes VALUES ('later')")
        # One moment throughout.
        assert rows.all("SELECT text FROM notes") == []
        with pytest.raises(Unavailable, match="read-only"):
            rows.all("INSERT INTO notes VALUES ('ours') RETURNING text")
        rows.close()


def _files(files: Files | None) -> list[str]:
    assert files is not None
    return sorted(files_below(files))


class TestArtifacts:
    """Where the files of a run lie, by the form of its artifact URI."""

    def _folder(self, made: MadeStore) -> str:
        return f"{made.home}/mlruns/1/{_full_run(made)}/artifacts"

    FILES = ("notes/hello.txt", "top.txt")

    def test_a_path_a_file_uri_and_a_relative_path(self, database: MadeStore) -> None:
        source = opened(database.uri)
        folder = self._folder(database)
        for uri in (folder, f"file://{folder}", f"./mlruns/1/{_full_run(database)}/artifacts"):
            assert tuple(_files(source.artifacts(uri))) == self.FILES, uri
        assert source.complaints == source.notes[1:] == []

    def test_files_behind_a_server_need_its_folder(self, database: MadeStore) -> None:
        uri = f"mlflow-artifacts:/1/{_full_run(database)}/artifacts"
        source = opened(database.uri)
        assert source.artifacts(uri) is None
        assert source.artifacts(uri + "/x") is None
        (complaint,) = source.complaints
        assert "--source-artifacts FOLDER" in complaint
        source = opened(database.uri, f"{database.home}/mlruns")
        assert tuple(_files(source.artifacts(uri))) == self.FILES
        with_host = uri.replace(":/", "://tracking.example:5000/")
        assert tuple(_files(source.artifacts(with_host))) == self.FILES

    def test_the_usual_folder_of_a_server_is_found(self, database: MadeStore) -> None:
        (database.home / "mlartifacts").symlink_to(database.home / "mlruns")
        uri = f"mlflow-artifacts:/1/{_full_run(database)}/artifacts"
        assert tuple(_files(opened(database.uri).artifacts(uri))) == self.FILES

    def test_no_way_leads_out_of_a_servers_folder(self, database: MadeStore) -> None:
        source = opened(database.uri, f"{database.home}/mlruns")
        assert source.artifacts("mlflow-artifacts:/1/../../secret") is None
        assert source.artifacts("mlflow-artifacts:/1/%2e%2e/secret") is None
        assert len(source.complaints) == 2

    def test_a_cloud_is_said_once_to_be_out_of_reach(self, database: MadeStore) -> None:
        source = opened(database.uri)
        assert source.artifacts("s3://bucket/one") is None
        assert source.artifacts("s3://bucket/two") is None
        assert source.artifacts("gs://bucket/two") is None
        assert len(source.complaints) == 2

    def test_folders_that_moved_with_the_store_are_found(self, kept: MadeStore) -> None:
        run_id = _full_run(kept)
        folder = kept.answers["runs"][run_id]["artifact_uri"].removeprefix("file://")
        elsewhere = folder.replace(str(kept.home), "/home/ada/old-machine")
        source = opened(kept.uri, f"{kept.home}/mlruns")
        assert tuple(_files(source.artifacts(elsewhere))) == self.FILES
        assert source.complaints == []

    def test_a_folder_that_is_nowhere_is_noted_once(self, database: MadeStore) -> None:
        source = opened(database.uri)
        for run_id in ("a" * 32, "b" * 32):
            assert _files(source.artifacts(f"/nowhere/mlruns/1/{run_id}/artifacts")) == []
        assert source.complaints == []
        assert [note for note in source.notes if "/nowhere/mlruns" in note] == source.notes[1:]
        assert len(source.notes) == 2

    def test_what_nothing_is_known_of(self, database: MadeStore) -> None:
        source = opened(database.uri)
        for uri in ("runs:/unknown/x", "models:/unknown/1", "models:/plain@champion", "models:/"):
            assert source.artifacts(uri) is None
        assert len(source.complaints) == 4

    def test_no_place_is_not_the_folder_that_we_are_in(self, database: MadeStore) -> None:
        _execute(database.file, "UPDATE runs SET artifact_uri = ''")
        source = opened(database.uri)
        assert source.artifacts("") is None
        assert source.artifacts(f"runs:/{_full_run(database)}/x") is None

    def test_versions_that_name_each_other_end(self, database: MadeStore) -> None:
        _execute(
            database.file,
            "UPDATE model_versions SET storage_location = 'models:/plain/1' WHERE version = 1",
        )
        assert opened(database.uri).artifacts("models:/plain/1") is None
