from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.protocol import experiments, runs
from headrace.protocol.logged_models import OrderBy, SearchLoggedModels
from headrace.protocol.registered_models import AliasRef
from tests.cli.conftest import Headrace
from tests.cli.databases import opened
from tests.fixtures.child_process import unused_port


def test_the_demo_shows_what_it_tracked(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "demo", "--exit", "--port", str(unused_port())],
        cwd=tmp_path,
        env={**os.environ, "HEADRACE_RUN_ID": "0" * 32, "MLFLOW_EXPERIMENT_NAME": "mine"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "headrace-demo") in done.stderr
    assert "best first" in done.stdout
    assert " runs show " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["headrace-demo"]

    with opened(f"sqlite:///{tmp_path}/headrace-demo/headrace.db") as store:
        found = store.experiments.get_by_name(experiments.ExperimentByName("digits")).experiment
        tracked = store.runs.search(runs.SearchRuns([found.experiment_id])).runs
        best = store.runs.search(
            runs.SearchRuns([found.experiment_id], filter="metrics.accuracy > 0.95")
        ).runs
        request = SearchLoggedModels(
            [found.experiment_id], order_by=[OrderBy("metrics.accuracy", False)]
        )
        models = store.logged_models.search(request).models
        champion = store.registered_models.get_by_alias(AliasRef("digits", "champion"))
    assert len(tracked) == 9
    assert [model.info.status for model in models] == ["LOGGED_MODEL_READY"] * 6
    assert champion.model_version.model_id == models[0].info.model_id
    judged = {metric.key for metric in models[0].data.metrics}
    assert {"accuracy", "accuracy_score"} <= judged
    assert "good enough" in done.stdout
    assert all(run.info.status == "FINISHED" for run in tracked)
    parents = {
        tag.value for run in tracked for tag in run.data.tags if tag.key == runs.PARENT_RUN_TAG
    }
    assert len(parents) == 2
    assert best
    assert best[0].info.run_id in done.stdout
    folder = tmp_path / "headrace-demo" / "artifacts" / found.experiment_id / best[0].info.run_id
    kept = {path.name for path in (folder / "artifacts").iterdir()}
    assert {"confusion.txt", "scores.json"} <= kept


def test_ctrl_c_ends_server_and_training(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "demo", "--port", str(unused_port())],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Training on" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_without_scikit_learn(headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    ran = headrace("demo")
    assert ran.code == 1
    assert "pip install 'headrace[demo]'" in ran.err
    assert not Path("headrace-demo").exists()
