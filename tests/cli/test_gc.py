from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace.artifacts.local import LocalArtifactStore
from headrace.cli import removal
from headrace.protocol import experiments, logged_models, model_versions, registered_models, runs
from headrace.protocol.metrics import Metric
from headrace.store.open import open_store
from headrace.store.sql import gc
from headrace.store.sql.upkeep import Upkeep
from tests.cli.conftest import Headrace
from tests.cli.databases import (
    counts,
    delete_runs,
    execute,
    files_in,
    log_metric,
    new_experiment,
    new_run,
    opened,
    put_file,
)
from tests.fixtures.servers import ServerLauncher

NOW = 2**53


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    LocalArtifactStore(folder)
    return folder


def collect(headrace: Headrace, uri: str, artifacts: Path, *words: str) -> object:
    """`headrace db gc` of everything, as JSON."""
    places = ("--backend-store-uri", uri, "--artifacts-destination", str(artifacts))
    return headrace("db", "gc", "--older-than", "0d", *places, "--json", *words).json


def sound(headrace: Headrace, uri: str) -> bool:
    ran = headrace("db", "check", "--backend-store-uri", uri, "--json")
    assert ran.code in (0, 1), ran.err
    return ran.code == 0


def test_first_it_only_shows(headrace: Headrace, database_uri: str, artifacts: Path) -> None:
    with opened(database_uri) as store:
        kept, gone = new_run(store), new_run(store)
        put_file(artifacts, gone.artifact_uri)
        delete_runs(store, gone)
    before, files = counts(database_uri), files_in(artifacts)
    plan = collect(headrace, database_uri, artifacts)
    assert isinstance(plan, dict)
    assert [(e["id"], e["kind"], e["bytes"]) for e in plan["would_remove"]] == [
        (gone.run_id, "run", 5)
    ]
    assert plan["would_keep"] == []
    shown = headrace(
        *("db", "gc", "--older-than", "0d", "--backend-store-uri", database_uri),
        *("--artifacts-destination", str(artifacts)),
    )
    assert gone.run_id in shown.out
    assert kept.run_id not in shown.out
    assert "1 would go, with 5 B of files" in shown.err
    assert (counts(database_uri), files_in(artifacts)) == (before, files)


def test_what_was_deleted_goes_and_nothing_else(
    headrace: Headrace, database_uri: str, artifacts: Path
) -> None:
    with opened(database_uri) as store:
        kept = new_run(store)
        put_file(artifacts, kept.artifact_uri)
        before = counts(database_uri)
        gone = [new_run(store) for _ in range(3)]
        for info in gone:
            put_file(artifacts, info.artifact_uri)
        delete_runs(store, *gone)
    outcome = collect(headrace, database_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"run": 3}
    assert counts(database_uri) == before
    assert files_in(artifacts) == {f"0/{kept.run_id}/artifacts/model/weights.bin"}
    assert not (artifacts / "0" / gone[0].run_id).exists()
    assert sound(headrace, database_uri)
    assert collect(headrace, database_uri, artifacts, "--yes") == {
        "removed": {}, "rows": 0, "kept": []
    }  # fmt: skip


def test_what_was_deleted_lately_stays(
    headrace: Headrace, sqlite_uri: str, artifacts: Path
) -> None:
    with opened(sqlite_uri) as store:
        lately, long_ago = new_run(store), new_run(store)
        delete_runs(store, lately, long_ago)
    execute(
        sqlite_uri,
        "UPDATE runs SET deleted_time = deleted_time - 8 * 86400000"
        f" WHERE run_id = '{long_ago.run_id}'",
    )
    places = ("--backend-store-uri", sqlite_uri, "--artifacts-destination", str(artifacts))
    assert "Nothing was deleted so long ago" in headrace("db", "gc", *places).err
    assert headrace("db", "gc", *places, "--older-than", "7d", "--yes").code == 0
    with opened(sqlite_uri) as store:
        assert store.runs.get(runs.RunRef(lately.run_id)).run.info.run_id == lately.run_id
    assert counts(sqlite_uri)["runs"] == 1


def test_an_experiment_goes_with_all_that_is_in_it(
    headrace: Headrace, database_uri: str, artifacts: Path
) -> None:
    with opened(database_uri) as store:
        before = counts(database_uri)
        experiment_id = new_experiment(store, "old")
        run = new_run(store, experiment_id)
        model = store.logged_models.create(
            logged_models.CreateLoggedModel(experiment_id, source_run_id=run.run_id)
        ).model.info
        put_file(artifacts, run.artifact_uri)
        put_file(artifacts, model.artifact_uri)
        store.experiments.delete(experiments.ExperimentRef(experiment_id))
    outcome = collect(headrace, database_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"run": 1, "logged model": 1, "experiment": 1}
    after = counts(database_uri)
    after.pop("keys")
    assert after == {name: count for name, count in before.items() if name != "keys"}
    assert files_in(artifacts) == set()
    assert not (artifacts / experiment_id).exists()
    assert sound(headrace, database_uri)


def test_a_deleted_model_goes_without_its_run(
    headrace: Headrace, database_uri: str, artifacts: Path
) -> None:
    with opened(database_uri) as store:
        run = new_run(store)
        model = store.logged_models.create(
            logged_models.CreateLoggedModel("0", source_run_id=run.run_id)
        ).model.info
        put_file(artifacts, model.artifact_uri)
        put_file(artifacts, run.artifact_uri)
        store.logged_models.delete(logged_models.LoggedModelRef(model.model_id))
    outcome = collect(headrace, database_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"logged model": 1}
    assert files_in(artifacts) == {f"0/{run.run_id}/artifacts/model/weights.bin"}


def test_what_a_registered_model_needs_stays(
    headrace: Headrace, database_uri: str, artifacts: Path
) -> None:
    with opened(database_uri) as store:
        experiment_id = new_experiment(store, "old")
        run, other = new_run(store, experiment_id), new_run(store, experiment_id)
        put_file(artifacts, run.artifact_uri)
        store.registered_models.create(registered_models.CreateRegisteredModel("reader"))
        store.model_versions.create(
            model_versions.CreateModelVersion(
                name="reader", source=f"{run.artifact_uri}/model", run_id=run.run_id
            )
        )
        store.experiments.delete(experiments.ExperimentRef(experiment_id))
    outcome = collect(headrace, database_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"run": 1}
    kept = {entry["id"]: entry["kept_for"] for entry in outcome["kept"]}
    assert kept[run.run_id] == "registered model reader/1"
    assert "stay" in kept[experiment_id]
    assert other.run_id not in kept
    assert len(files_in(artifacts)) == 1


def test_what_is_restored_in_the_middle_stays(sqlite_uri: str, artifacts: Path) -> None:
    with opened(sqlite_uri) as store:
        run, gone = new_run(store), new_run(store)
        delete_runs(store, run, gone)
        file = put_file(artifacts, run.artifact_uri)
        upkeep, files = Upkeep(sqlite_uri), LocalArtifactStore(artifacts)
        found = removal.choose(upkeep, files, NOW, leave_files_outside=False)
        assert len(found) == 2
        store.runs.restore(runs.RunRef(run.run_id))
        outcome = removal.remove(upkeep, files, found, NOW, lambda _done, _total: None)
        assert outcome.removed == {"run": 1}
        assert len(store.runs.get(runs.RunRef(run.run_id)).run.data.metrics) == 1
        assert file.exists()
        upkeep.close()


def test_what_was_cut_short_is_finished_by_the_next(
    headrace: Headrace, database_uri: str, artifacts: Path
) -> None:
    with opened(database_uri) as store:
        before = counts(database_uri)
        info = new_run(store)
        put_file(artifacts, info.artifact_uri)
        delete_runs(store, info)
        upkeep = Upkeep(database_uri)
        taken = gc.take_out(upkeep, gc.find_deleted(upkeep, NOW), NOW)
        assert [removal.public_id for removal in taken] == [info.run_id]
        assert gc.unfinished(upkeep) == taken
        upkeep.close()
    ran = headrace("db", "check", "--backend-store-uri", database_uri)
    assert ran.code == 1
    assert "headrace db gc --yes" in ran.out
    outcome = collect(headrace, database_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"run": 1}
    after = counts(database_uri)
    after.pop("keys")
    assert after == {name: count for name, count in before.items() if name != "keys"}
    assert files_in(artifacts) == set()


def test_killed_in_the_middle(headrace: Headrace, sqlite_uri: str, artifacts: Path) -> None:
    with opened(sqlite_uri) as store:
        kept = new_run(store)
        gone = [new_run(store, points=5) for _ in range(80)]
        for info in gone:
            put_file(artifacts, info.artifact_uri)
        delete_runs(store, *gone)
    command = [
        *(sys.executable, "-m", "headrace", "db", "gc", "--older-than", "0d", "--yes"),
        *("--backend-store-uri", sqlite_uri, "--artifacts-destination", str(artifacts)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(list((artifacts / "0").iterdir())) > 70:
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert counts(sqlite_uri).get("removals")
    assert files_in(artifacts)

    collect(headrace, sqlite_uri, artifacts, "--yes")
    assert counts(sqlite_uri)["runs"] == 1
    assert "removals" not in counts(sqlite_uri)
    assert files_in(artifacts) == set()
    assert sound(headrace, sqlite_uri)
    with opened(sqlite_uri) as store:
        assert store.runs.get(runs.RunRef(kept.run_id)).run.data.params[0].value == "3"


def test_a_long_curve_goes_in_bounded_pieces(
    database_uri: str, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "CHUNK", 7)
    with opened(database_uri) as store:
        # Many points of one step: a piece can end in the middle of it.
        kept, gone = new_run(store, points=50), new_run(store, points=50)
        store.runs.log_batch(
            runs.LogBatch(gone.run_id, metrics=[_nan("loss", 1), _nan("other", 2)])
        )
        delete_runs(store, gone)
    upkeep = Upkeep(database_uri)
    [taken] = gc.take_out(upkeep, gc.find_deleted(upkeep, NOW), NOW)
    assert gc.clear(upkeep, [taken]) == 52 + 2 + 1 + 2
    upkeep.close()
    assert counts(database_uri)["metrics"] == 50
    with opened(database_uri) as store:
        assert len(store.runs.get(runs.RunRef(kept.run_id)).run.data.metrics) == 1


def _nan(key: str, step: int) -> Metric:
    return Metric(key, float("nan"), 5000, step)


def test_files_that_are_not_ours_are_not_forgotten(
    headrace: Headrace, sqlite_uri: str, artifacts: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    with opened(sqlite_uri) as store:
        run = new_run(store, new_experiment(store, "far", str(elsewhere)))
        delete_runs(store, run)
    file = elsewhere / "weights.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"1")
    outcome = collect(headrace, sqlite_uri, artifacts, "--yes")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {}
    assert run.artifact_uri in outcome["kept"][0]["kept_for"]
    outcome = collect(headrace, sqlite_uri, artifacts, "--yes", "--leave-files-outside")
    assert isinstance(outcome, dict)
    assert outcome["removed"] == {"run": 1}
    assert file.exists()


def test_a_wrong_artifact_folder_is_refused(headrace: Headrace, sqlite_uri: str) -> None:
    open_store(sqlite_uri).close()
    ran = headrace("db", "gc", "--yes", "--backend-store-uri", sqlite_uri)
    assert ran.code == 3
    assert "--artifacts-destination" in ran.err


def test_beside_a_server_that_is_written_to(
    headrace: Headrace, database_uri: str, artifacts: Path, start_server: ServerLauncher
) -> None:
    server = start_server(backend_store_uri=database_uri, artifacts=artifacts)
    with opened(server.url) as store:
        live = new_run(store, points=1)
        gone = [new_run(store, points=200) for _ in range(10)]
        delete_runs(store, *gone)
        steps = 0
        done = threading.Event()

        def collecting() -> None:
            try:
                collect(headrace, database_uri, artifacts, "--yes")
            finally:
                done.set()

        collector = threading.Thread(target=collecting)
        collector.start()
        while not done.is_set() or steps < 20:
            log_metric(store, live.run_id, steps)
            steps += 1
        collector.join()
        data = store.runs.get(runs.RunRef(live.run_id)).run.data
        assert {metric.key: metric.value for metric in data.metrics}["live"] == steps - 1
    found = counts(database_uri)
    assert found["runs"] == 1
    assert found["metrics"] == steps + 1
    assert os.path.isdir(artifacts)
    assert sound(headrace, database_uri)


def test_the_file_is_not_locked_for_long(sqlite_uri: str, artifacts: Path) -> None:
    """Another process may write between any two transactions of a removal."""
    with opened(sqlite_uri) as store:
        gone = [new_run(store) for _ in range(5)]
        delete_runs(store, *gone)
    upkeep = Upkeep(sqlite_uri)
    taken = gc.take_out(upkeep, gc.find_deleted(upkeep, NOW), NOW)
    other = sqlite3.connect(sqlite_uri.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    for entry in taken:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        gc.clear(upkeep, [entry])
    other.close()
    upkeep.close()
