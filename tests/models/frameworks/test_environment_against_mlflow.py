"""What models need, written and read by MLflow too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.models.environment import Requirements, requirements_for, write_environment

mlflow = pytest.importorskip("mlflow")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
FILES = ("requirements.txt", "conda.yaml", "python_env.yaml", "constraints.txt")


def contents(folder: Path) -> dict[str, Any]:
    """The files as their readers understand them."""
    found: dict[str, Any] = {}
    for name in FILES:
        path = folder / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            found[name] = yaml.safe_load(text) if name.endswith("yaml") else text.splitlines()
    return found


def saved_by_mlflow(folder: Path, **given: Any) -> Path:
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0])
    mlflow.sklearn.save_model(fitted, str(folder), **given)
    return folder


def given_in(kind: str, folder: Path) -> dict[str, Any]:
    (folder / "r.txt").write_text("six  # why\n-c c.txt\n", encoding="utf-8")
    (folder / "c.txt").write_text("urllib3<9\n", encoding="utf-8")
    conda = {"name": "mine", "dependencies": ["pip", {"pip": ["six==1.17.0"]}, "ffmpeg"]}
    arguments: dict[str, dict[str, Any]] = {
        "a list": {"pip_requirements": ["numpy", "Pandas<9", "six ; python_version>'3'"]},
        "a file with constraints": {"pip_requirements": str(folder / "r.txt")},
        "with mlflow": {"pip_requirements": ["scikit-learn", "mlflow-skinny>=3"]},
        "twice the same": {"pip_requirements": ["six", "six==1.17.0", "six[x]"]},
        "a conda environment": {"conda_env": conda},
    }
    return arguments[kind]


@pytest.mark.parametrize(
    "kind",
    ["a list", "a file with constraints", "with mlflow", "twice the same", "a conda environment"],
)
def test_the_same_arguments_make_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # MLflow takes files that a file refers to from the working folder, pip from where that lies.
    monkeypatch.chdir(tmp_path)
    given = given_in(kind, tmp_path)
    theirs = saved_by_mlflow(tmp_path / "theirs", **given)
    ours = tmp_path / "ours"
    ours.mkdir()

    write_environment(ours, Requirements(**given))

    assert contents(ours) == contents(theirs)


def test_the_defaults_of_mlflows_flavor_are_found_without_asking() -> None:
    import mlflow.sklearn

    theirs = {
        line for line in mlflow.sklearn.get_default_pip_requirements() if line.startswith("scikit")
    }

    assert theirs <= set(requirements_for([], ["sklearn.ensemble._forest"]))


def test_mlflow_reads_and_changes_what_was_written(tmp_path: Path) -> None:
    theirs = saved_by_mlflow(tmp_path / "theirs", pip_requirements=["six==1.17.0"])
    write_environment(theirs, Requirements(pip_requirements=["six==1.17.0", "numpy"]))

    read = mlflow.pyfunc.get_model_dependencies(str(theirs))
    mlflow.models.update_model_requirements(str(theirs), "add", ["six==1.16.0", "tomli"])

    assert Path(read).read_text().splitlines()[1:3] == ["six==1.16.0", "numpy"]
    expected = ["mlflow==3.17.2", "six==1.16.0", "numpy", "tomli"]
    assert contents(theirs)["requirements.txt"] == expected
    assert contents(theirs)["conda.yaml"]["dependencies"][-1] == {"pip": expected}


@pytest.mark.timeout(300)
def test_a_model_of_mlflow_predicts_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn
    import skops

    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    needs = [f"scikit-learn=={sklearn.__version__}", f"skops=={skops.__version__}"]
    theirs = saved_by_mlflow(tmp_path / "theirs", pip_requirements=needs)
    request = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[3.0]]}})
    command = [sys.executable, "-m", "headrace", "models", "predict", "-m", str(theirs)]

    refused = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    done = subprocess.run(
        [*command, "--trust"], input=request, capture_output=True, text=True, check=False
    )

    assert refused.returncode == 4, refused.stderr
    assert done.returncode == 0, done.stderr
    [prediction] = json.loads(done.stdout)["predictions"]
    assert prediction == pytest.approx(6.0)
    [made] = (tmp_path / "cache" / "environments").glob("*/ready.json")
    assert not list(made.parent.glob("lib/*/site-packages/mlflow"))
    shutil.rmtree(tmp_path / "cache")
