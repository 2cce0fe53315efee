"""`headrace sync` of a folder of journals: what offline programs logged, and what was refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.open import open_artifacts
from headrace.client.ledger import Ledger
from headrace.protocol.experiments import ExperimentByName
from headrace.protocol.metrics import GetMetricHistory
from headrace.protocol.runs import LogBatch, Run, RunRef, SearchRuns
from headrace.protocol.wire import Param
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.sync.journals import journal_folders, send
from tests.fixtures.senders import end_senders
from tests.fixtures.servers import ServerLauncher

OFFLINE = """
import headrace, sys
headrace.set_tracking_uri("http://127.0.0.1:9")
headrace.set_experiment("at sea")
with headrace.start_run(run_name="outer") as run:
    print(run.info.run_id)
    for step in range(50):
        headrace.log_metric("loss", 1 / (step + 1), step=step)
    headrace.log_params({"rate": 0.1, "depth": 3})
    headrace.log_text("bearing 270", "notes/log.txt")
    with headrace.start_run(run_name="inner", nested=True):
        headrace.log_metric("m", float("nan"))
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def run_offline(journal: Path, program: str = OFFLINE) -> str:
    """Runs a program that reaches no server, and gives the id that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "HEADRACE_JOURNAL": str(journal),
            "HEADRACE_OFFLINE": "true",
            "HEADRACE_CAPTURE": "false",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "headrace sync" in done.stderr
    return done.stdout.strip()


def named(journal: Path) -> str:
    """The folder of one destination, which may be sent elsewhere."""
    (folder,) = journal_folders(journal)
    return str(folder)


def sync(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", "sync", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def runs_of(store: Store) -> dict[str, Run]:
    experiment = store.experiments.get_by_name(ExperimentByName(experiment_name="at sea"))
    found = store.runs.search(SearchRuns(experiment_ids=[experiment.experiment.experiment_id]))
    return {run.info.run_name: run for run in found.runs}


def test_what_was_logged_offline_arrives_once(journal: Path, sqlite_uri: str) -> None:
    run_id = run_offline(journal)
    looked = sync(named(journal), sqlite_uri, "--dry-run", "--json")
    assert json.loads(looked.stdout)["journals"] == 1
    sent = sync(named(journal), sqlite_uri, "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout) | {"notes": []} == {
        "dry_run": False,
        "journals": 1,
        "runs": 2,
        "points": 51,
        "problems": [],
        "notes": [],
    }
    again = sync(named(journal), sqlite_uri)
    assert (again.returncode, again.stdout) == (0, "There is nothing to send.\n")

    store = open_store(sqlite_uri)
    runs = runs_of(store)
    outer, inner = runs["outer"], runs["inner"]
    assert outer.info.run_id == run_id
    assert {str(run.info.status) for run in runs.values()} == {"FINISHED"}
    assert {param.key: param.value for param in outer.data.params} == {"rate": "0.1", "depth": "3"}
    assert ("mlflow.parentRunId", run_id) in {(tag.key, tag.value) for tag in inner.data.tags}
    history = store.metrics.history(GetMetricHistory(run_id=run_id, metric_key="loss")).metrics
    assert [point.step for point in history] == list(range(50))
    place = open_artifacts(outer.info.artifact_uri, sqlite_uri).below("notes/log.txt")
    with place.store.read(place.path) as reader:
        assert b"".join(reader.chunks()) == b"bearing 270"
    store.close()


def test_several_programs_and_places(journal: Path, sqlite_uri: str) -> None:
    ids = {run_offline(journal) for _ in range(2)}
    elsewhere = OFFLINE.replace("127.0.0.1:9", "127.0.0.1:10")
    ids.add(run_offline(journal, elsewhere))
    folders = journal_folders(journal)
    assert len(folders) == 2
    assert journal_folders(folders[0]) == [folders[0]]
    assert journal_folders(journal / "none") == []
    assert send(folders, sqlite_uri).runs == 6
    store = open_store(sqlite_uri)
    for run_id in ids:
        assert store.runs.get(RunRef(run_id=run_id)).run.info.run_id == run_id
    store.close()


def test_what_is_refused_is_shown_and_can_be_sent_again(journal: Path, sqlite_uri: str) -> None:
    run_id = run_offline(journal)
    assert send(journal_folders(journal), sqlite_uri).problems == []
    store = open_store(sqlite_uri)
    store.runs.delete(RunRef(run_id=run_id))
    program = f"""
import headrace
headrace.set_tracking_uri("http://127.0.0.1:9")
headrace.log_metric("late", 1, run_id="{run_id}")
headrace.log_text("late", "late.txt", run_id="{run_id}")
"""
    run_offline(journal, program)
    refused = sync(named(journal), sqlite_uri)
    assert refused.returncode == 1
    assert "metric 'late'" in refused.stderr
    assert "deleted" in refused.stderr

    # As long as the reason is there, it stays set aside, once.
    repeated = sync(named(journal), sqlite_uri, "--refused", "again", "--json")
    assert repeated.returncode == 1
    assert len(json.loads(repeated.stdout)["problems"]) == 1
    store.runs.restore(RunRef(run_id=run_id))
    at_last = sync(named(journal), sqlite_uri, "--refused", "again")
    assert at_last.returncode == 0, at_last.stderr
    assert list(Ledger(journal_folders(journal)[0]).refusals()) == []
    metrics = store.runs.get(RunRef(run_id=run_id)).run.data.metrics
    assert {metric.key: metric.value for metric in metrics}["late"] == 1
    store.close()


def test_a_parameter_that_differs_is_set_aside_alone(journal: Path, sqlite_uri: str) -> None:
    run_id = run_offline(journal)
    send(journal_folders(journal), sqlite_uri)
    store = open_store(sqlite_uri)
    store.runs.log_batch(LogBatch(run_id=run_id, params=[Param("taken", "by another")]))
    program = f"""
import headrace
headrace.set_tracking_uri("http://127.0.0.1:9")
client = headrace.Client()
client.log_batch("{run_id}", params=[headrace.entities.Param(k, k) for k in ("a", "taken", "b")])
"""
    run_offline(journal, program)
    sent = send(journal_folders(journal), sqlite_uri)
    assert [problem.what for problem in sent.problems] == [f"parameter 'taken' (run {run_id})"]
    params = store.runs.get(RunRef(run_id=run_id)).run.data.params
    assert {param.key: param.value for param in params if len(param.key) == 1} == {
        "a": "a",
        "b": "b",
    }
    store.close()


def test_choices_that_do_not_go_with_journals(journal: Path, sqlite_uri: str) -> None:
    run_offline(journal)
    done = sync(named(journal), sqlite_uri, "--experiment", "at sea")
    assert done.returncode == 2
    assert "sent whole" in done.stderr
    assert not Path(sqlite_uri.removeprefix("sqlite:///")).exists()


def test_a_sender_at_work_is_waited_for(
    journal: Path, start_server: ServerLauncher, free_port: int, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    program = OFFLINE.replace("http://127.0.0.1:9", url)
    # Without HEADRACE_OFFLINE it leaves a sender behind that goes on trying.
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HEADRACE_JOURNAL": str(journal), "HEADRACE_CAPTURE": "false"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    try:
        elsewhere = sync(named(journal), f"sqlite:///{tmp_path}/other.db")
        assert elsewhere.returncode != 0
        assert "sends to" in elsewhere.stderr
        away = sync(str(journal), url)
        assert away.returncode != 0
        assert "Connection refused" in away.stderr
        start_server(port=free_port)
        sent = sync(str(journal), url)
        assert sent.returncode == 0, sent.stderr
        store = open_store(url)
        assert runs_of(store)["outer"].info.run_id == done.stdout.strip()
        store.close()
    finally:
        end_senders(journal)


def test_only_what_is_meant_for_a_place_is_sent_there(
    journal: Path, sqlite_uri: str, start_server: ServerLauncher
) -> None:
    url = start_server().url
    ours = run_offline(journal, OFFLINE.replace("http://127.0.0.1:9", url))
    run_offline(journal, OFFLINE.replace("http://127.0.0.1:9", sqlite_uri))
    sent = sync(str(journal), url)
    assert sent.returncode == 0, sent.stderr
    assert "Sent 1 journal: 2 runs" in sent.stdout
    assert f"is meant for {sqlite_uri}" in sent.stderr
    store = open_store(url)
    assert runs_of(store)["outer"].info.run_id == ours
    store.close()
    assert not Path(sqlite_uri.removeprefix("sqlite:///")).exists()


def test_what_was_refused_can_be_forgotten(journal: Path, sqlite_uri: str) -> None:
    program = """
import headrace
headrace.set_tracking_uri("http://127.0.0.1:9")
headrace.log_metric("m", 1, run_id="0" * 32)
headrace.log_text("x", "x.txt", run_id="0" * 32)
"""
    run_offline(journal, program)
    assert sync(named(journal), sqlite_uri).returncode == 1
    shown = sync(named(journal), sqlite_uri, "--refused", "forget", "--json")
    assert len(json.loads(shown.stdout)["problems"]) == 2
    again = sync(named(journal), sqlite_uri)
    assert again.returncode == 0, again.stderr
    assert not (Path(named(journal)) / "refused").exists()
