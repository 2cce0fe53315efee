"""The same trainings, logged by the real MLflow and by Headrace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy
PROGRAM = Path(__file__).parent / "fits.py"
ROOT = Path(__file__).parents[4]
START = f"""
import os, runpy, sys
sys.path.append(os.environ["PACKAGES"])  # behind our own, which has MLflow alone from there
runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
"""
LIBRARIES = ("xgboost", "lightgbm", "keras", "lightning", "transformers")

TIMES = ("_runtime", "_per_second")


@pytest.fixture(scope="module")
def logged(
    tmp_path_factory: pytest.TempPathFactory, mlflow_python: Path
) -> dict[str, dict[str, Any]]:
    """What the trainings logged, by whose autologging, library and run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = mlflow_python.parents[1] / "lib" / version / "site-packages"
    return {
        whose: _fits(whose, packages, tmp_path_factory.mktemp(whose))
        for whose in ("mlflow", "headrace")
    }


def _fits(whose: str, packages: Path, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", START, whose, f"sqlite:///{folder}/runs.db"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PACKAGES": str(packages),
            "KERAS_BACKEND": "torch",
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # What MLflow finds out in a process of its own, for each model, is not compared.
            "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
            "HEADRACE_CAPTURE": "false",
            "HEADRACE_JOURNAL": str(folder / "journal"),
            "HEADRACE_AUTOLOGGING_TESTING": "true",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("library", LIBRARIES)
def test_runs_have_the_same_parameters_metrics_and_files(
    logged: dict[str, dict[str, Any]], library: str
) -> None:
    theirs, ours = logged["mlflow"][library], logged["headrace"][library]
    assert len(theirs) == len(ours)
    for their, our in zip(theirs, ours, strict=True):
        assert our["status"] == their["status"] == "FINISHED"
        assert _params(our, library) == _params(their, library)
        assert _metrics(our) == _metrics(their)
        assert our["artifacts"] == their["artifacts"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("library", LIBRARIES)
def test_runs_have_the_same_models(logged: dict[str, dict[str, Any]], library: str) -> None:
    theirs, ours = logged["mlflow"][library], logged["headrace"][library]
    assert len(theirs) == len(ours)
    assert any(run["models"] for run in theirs) == (library != "transformers")
    for their, our in zip(theirs, ours, strict=True):
        for model in [*their["models"], *our["models"]]:
            assert model["status"] == "READY"
        assert _models(our) == _models(their)
        for mine, other in zip(our["models"], their["models"], strict=True):
            # MLflow links none to the models of estimators.
            assert set(other["metrics"]) - {"restored_epoch"} <= set(mine["metrics"])


def _models(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: model[name] for name in ("name", "signature")} for model in run["models"]]


def _params(run: dict[str, Any], library: str) -> dict[str, str]:
    """Without paths, and without what Headrace leaves out or says otherwise on purpose."""
    left_out = {"output_dir", "report_to"} if library == "transformers" else set()
    if library == "lightning":
        # As the user gave it; and MLflow notes 0 as the epoch it stopped in, before it began.
        left_out = {"min_delta", "stopped_epoch"}
    return {key: value for key, value in run["params"].items() if key not in left_out}


def _metrics(run: dict[str, Any]) -> dict[str, Any]:
    """Points by key, without times, order and repetitions, and what differs on purpose.

    MLflow puts `validation_*` of all epochs at step 0, and says that Lightning went back to an
    epoch, which it never does.
    """
    return {
        key: sorted(
            {
                (0 if key.startswith("validation_") else step, round(value, 4))
                for step, value in points
            }
        )
        for key, points in run["metrics"].items()
        if not key.endswith(TIMES) and key != "restored_epoch"
    }
