"""Training scripts that say `import mlflow`, as they stand and with their imports changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.entities import Run
from tests.fixtures.servers import ServerLauncher
from tests.parity.test_same_program import with_our_imports

pytestmark = pytest.mark.heavy

SCRIPTS = Path(__file__).with_name("scripts")


def run(python: str, text: str, server: str, folder: Path) -> Any:
    """What the script printed last."""
    folder.mkdir()
    (folder / "train.py").write_text(text)
    done = subprocess.run(
        [python, "train.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "HEADRACE_JOURNAL": str(folder / "journal"),
            "GIT_PYTHON_REFRESH": "quiet",
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("[")][-1])


def tracked(server: str, experiment: str) -> list[Any]:
    """Of every run: its name, how it ended, and what it logged, in the order it was made."""
    client = headrace.Client(server)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    return sorted(facts(client, each) for each in runs)


def facts(client: headrace.Client, run: Run) -> list[Any]:
    return [
        run.info.run_name,
        str(run.info.status),
        sorted(run.data.params.items()),
        sorted(
            (key, [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, key)])
            for key in run.data.metrics
            if not key.startswith("system/")
        ),
        sorted(tag for tag in run.data.tags.items() if "." not in tag[0]),
        sorted(f.path for f in client.list_artifacts(run.info.run_id) if f.path != "headrace"),
        sorted(entry.dataset.name for entry in run.inputs.dataset_inputs),
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("script", "experiment"), [("manual_loop", "manual loop"), ("client_style", "client style")]
)
def test_a_script_tracks_the_same(
    script: str,
    experiment: str,
    mlflow_python: Path,
    start_server: ServerLauncher,
    tmp_path: Path,
) -> None:
    text = (SCRIPTS / f"{script}.py").read_text()
    first, second = start_server().url, start_server().url
    theirs = run(str(mlflow_python), text, first, tmp_path / "theirs")
    ours = run(sys.executable, with_our_imports(text), second, tmp_path / "ours")
    assert ours == theirs
    assert tracked(second, experiment) == tracked(first, experiment)


@pytest.mark.timeout(400)
def test_an_autologged_script_tracks_the_same(
    mlflow_python: Path, start_server: ServerLauncher, tmp_path: Path
) -> None:
    """What MLflow logs, we log; files and a few more metrics are each one's own."""
    text = (SCRIPTS / "sklearn_autolog.py").read_text()
    first, second = start_server().url, start_server().url
    theirs = run(str(mlflow_python), text, first, tmp_path / "theirs")
    ours = run(sys.executable, with_our_imports(text), second, tmp_path / "ours")
    assert ours == theirs == ["0.5", "500", True]
    expected, found = tracked(first, "autologged")[0], tracked(second, "autologged")[0]
    assert found[:3] == expected[:3]
    assert {key for key, _ in expected[3]} <= {key for key, _ in found[3]}
    shared = dict(found[3])
    for key, points in expected[3]:
        assert [value for _, value in shared[key]] == pytest.approx([v for _, v in points])


@pytest.mark.timeout(400)
def test_a_script_of_a_models_life_comes_to_the_same(
    mlflow_python: Path, start_server: ServerLauncher, tmp_path: Path
) -> None:
    """What MLflow measures, we measure too, and a few things more; the files are each one's own."""
    text = (SCRIPTS / "model_lifecycle.py").read_text()
    first, second = start_server().url, start_server().url
    theirs = run(str(mlflow_python), text, first, tmp_path / "theirs")
    ours = run(sys.executable, with_our_imports(text), second, tmp_path / "ours")
    assert ours == theirs
    expected, found = (tracked(each, "model lifecycle") for each in (first, second))
    assert [each[:3] for each in found] == [each[:3] for each in expected]
    for mine, given in zip(found, expected, strict=True):
        shared = dict(mine[3])
        for key, points in given[3]:
            values = [value for _, value in points]
            assert [value for _, value in shared[key]] == pytest.approx(values), key
