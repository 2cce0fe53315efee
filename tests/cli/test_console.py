"""`headrace runs console`, on a database and through a server alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.open import open_artifacts
from headrace.protocol import experiments, runs
from headrace.store.open import open_store
from tests.cli.conftest import Headrace
from tests.fixtures.servers import ServerLauncher

FIRST, SECOND = "20261121T120000.000000Z-ab12", "20261121T130000.000000Z-00ff"


@pytest.fixture(params=["sqlite", "http"])
def uri(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_server: ServerLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A tracking URI in the environment, as people have it."""
    uri = start_server().url if request.param == "http" else f"sqlite:///{tmp_path}/headrace.db"
    monkeypatch.setenv("HEADRACE_TRACKING_URI", uri)
    return uri


@pytest.fixture
def run_id(uri: str, tmp_path: Path) -> str:
    """A run that goes on."""
    root = None if uri.startswith("http") else str(tmp_path / "headrace-artifacts")
    store = open_store(uri, artifact_root=root) if root else open_store(uri)
    made = store.experiments.create(experiments.CreateExperiment(name="churn"))
    run = store.runs.create(runs.CreateRun(experiment_id=made.experiment_id)).run
    store.close()
    return run.info.run_id


def put(uri: str, run_id: str, source: str, start: int, text: str) -> None:
    store = open_store(uri)
    info = store.runs.get(runs.RunRef(run_id)).run.info
    store.close()
    place = open_artifacts(info.artifact_uri, uri)
    place = place.below(f"headrace/console/{source}/{start:012}.log")
    with place.store.write(place.path) as writer:
        writer.write(text.encode())
        writer.commit()


def finish(uri: str, run_id: str) -> None:
    store = open_store(uri)
    store.runs.update(runs.UpdateRun(run_id=run_id, status="FINISHED", end_time=2))
    store.close()


def test_a_log_is_shown(headrace: Headrace, uri: str, run_id: str) -> None:
    silent = headrace("runs", "console", run_id)
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    put(uri, run_id, FIRST, 0, "epoch 1\nepöch 2\n")
    assert headrace("runs", "console", run_id).out == "epoch 1\nepöch 2\n"
    assert headrace("runs", "console", run_id, "--json").json == {
        "sources": [{"source": FIRST, "text": "epoch 1\nepöch 2\n"}]
    }


def test_several_sources_are_told_apart(headrace: Headrace, uri: str, run_id: str) -> None:
    put(uri, run_id, SECOND, 0, "second\n")
    put(uri, run_id, FIRST, 0, "first\n")
    out = headrace("runs", "console", run_id).out
    assert out == f"--- {FIRST}\nfirst\n--- {SECOND}\nsecond\n"
    assert headrace("runs", "console", run_id, "--source", SECOND).out == "second\n"
    wrong = headrace("runs", "console", run_id, "--source", "x")
    assert wrong.code == 3
    assert SECOND in wrong.err


def test_a_terminal_is_not_steered(headrace: Headrace, uri: str, run_id: str) -> None:
    put(uri, run_id, FIRST, 0, "a\x1b]0;title\x07b\x1b[2J\x00\r\tc\x9b\n")
    out = headrace("runs", "console", run_id).out
    assert out == "a\\x1b]0;title\\x07b\\x1b[2J\\x00\r\tc\\x9b\n"


def test_following_ends_with_the_run(uri: str, run_id: str) -> None:
    put(uri, run_id, FIRST, 0, "one\n")
    command = [sys.executable, "-m", "headrace", "runs", "console", run_id, "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        put(uri, run_id, FIRST, 0, "one\ntwo\n")
        assert follower.stdout.readline() == "two\n"
        put(uri, run_id, FIRST, 8, "three\n")
        finish(uri, run_id)
        assert follower.stdout.read() == "three\n"
        assert follower.wait(30) == 0


def test_what_makes_no_sense_is_refused(headrace: Headrace, uri: str, run_id: str) -> None:
    assert headrace("runs", "console", "0123").code == 3
    both = headrace("runs", "console", run_id, "--follow", "--json")
    assert both.code == 2
    assert "--follow" in both.err
