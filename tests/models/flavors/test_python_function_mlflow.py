"""Models in Python between Headrace and the real MLflow, each without the other one installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.models.model import Model

PROGRAM = Path(__file__).with_name("python_models_for_both.py")
pytestmark = pytest.mark.heavy


def run(python: Path | str, command: str, library: str, folder: Path, **more: str) -> Any:
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PROGRAM), command, library, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder.parent,
        env={**os.environ, **more},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.rpartition("PREDICTED ")[2])


def test_what_headrace_saves_mlflow_loads(tmp_path: Path, mlflow_python: Path) -> None:
    ours = run(sys.executable, "save", "headrace", tmp_path / "m")
    theirs = run(mlflow_python, "load", "mlflow", tmp_path / "m")
    assert theirs == ours
    assert ours["people"][0] == ["Person Ada 1", "Person Ada 1"]
    assert ours["script"] == [[9, 18]]


@pytest.mark.parametrize("compression", ["", "lzma", "bzip2", "gzip"])
def test_what_mlflow_saves_headrace_loads(
    tmp_path: Path, mlflow_python: Path, compression: str
) -> None:
    more = {"MLFLOW_LOG_MODEL_COMPRESSION": compression} if compression else {}
    theirs = run(mlflow_python, "save", "mlflow", tmp_path / "m", **more)
    ours = run(sys.executable, "load", "headrace", tmp_path / "m")
    assert ours == theirs
    saved = Model.load(tmp_path / "m" / "config").flavors["python_function"]
    assert saved.get("python_model_compression") == (compression or None)


def test_both_write_the_same_description(tmp_path: Path, mlflow_python: Path) -> None:
    run(sys.executable, "save", "headrace", tmp_path / "ours")
    run(mlflow_python, "save", "mlflow", tmp_path / "theirs")
    for folder in sorted((tmp_path / "theirs").iterdir()):
        if folder.name == "source":
            continue
        ours = _told(Model.load(tmp_path / "ours" / folder.name), tmp_path / "ours")
        theirs = _told(Model.load(folder), tmp_path / "theirs")
        assert ours == theirs, folder.name


def _told(model: Model, root: Path) -> dict[str, Any]:
    """What is said of a model, without times and what is of one library."""
    content = model.to_dict()
    for name in ("model_uuid", "utc_time_created", "model_size_bytes"):
        content.pop(name)
    entry = content["flavors"]["python_function"]
    if "model_code_path" in entry:  # MLflow writes where it lay on the machine of who saved it
        entry["model_code_path"] = Path(entry["model_code_path"]).name
    text = json.dumps(content, sort_keys=True)
    loader = text.replace("loader_of_headrace", "loader").replace("loader_of_mlflow", "loader")
    told: dict[str, Any] = json.loads(loader.replace(str(root), "ROOT"))
    return told
