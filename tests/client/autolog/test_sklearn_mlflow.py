"""The same fits under the real MLflow and under Headrace: what is logged is equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("sklearn_fits.py")


def logged(python: str, tracking: str, folder: Path) -> dict[str, Any]:
    """What the fits log, in an interpreter of its own."""
    done = subprocess.run(
        [python, str(PROGRAM), tracking, f"sqlite:///{folder}/{tracking}.db"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=folder,
        # What MLflow finds out in a process of its own, for each model, is not compared.
        env={**os.environ, "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_the_same_fits_log_the_same(mlflow_python: Path, tmp_path: Path) -> None:
    theirs = logged(str(mlflow_python), "mlflow", tmp_path)
    ours = logged(sys.executable, "headrace", tmp_path)
    assert ours.keys() == theirs.keys()
    # MLflow finds no name for the last data, and notes no data set for `score`.
    for found in (theirs, ours):
        assert found["evaluation"]["metrics"].pop("accuracy_score-3_unknown_dataset", None) or (
            found["evaluation"]["metrics"].pop("accuracy_score-3_first")
        )
    assert (theirs["evaluation"].pop("inputs"), ours["evaluation"].pop("inputs")) == (3, 4)
    # MLflow links the metrics of the best candidate's run.
    for fit in (*theirs.values(), *ours.values()):
        for model in fit["models"]:
            if model["name"] == "best_estimator":
                del model["metrics"]
    for name, fit in theirs.items():
        assert ours[name] == fit, name
