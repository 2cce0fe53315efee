"""What folders of models say of the environments they need, also hostile ones."""

from __future__ import annotations

import logging
import os
import pickle
import platform
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models.environment.wanted import wanted_by
from headrace.models.python_model import PythonModel
from headrace.models.python_model_pickle import dump_model
from tests.models.environment.conftest import put

MINOR = ".".join(platform.python_version_tuple()[:2])
PYTHON_ENV = (
    "python: 3.11.7\nbuild_dependencies: [pip==23.2.1, setuptools==65.5.0, wheel]\n"
    "dependencies: [-r requirements.txt]\n"
)

SCORING = ("cloudpickle", "numpy", "pandas")
"""What a worker needs of an environment."""


def a_model(folder: Path, requirements: str, **files: str) -> Path:
    given = {"python_env.yaml": PYTHON_ENV, "requirements.txt": requirements}
    return put(folder, {**given, **files})


class Doubler(PythonModel):
    def predict(self, context: Any, model_input: Any) -> Any:
        return model_input * 2


def test_of_a_model_as_it_is_saved(tmp_path: Path) -> None:
    model = a_model(tmp_path, "mlflow==3.17.2\nnumpy==2.1.0\nsix\n-c constraints.txt")
    put(model, {"constraints.txt": "urllib3<3"})

    wanted = wanted_by(model)

    assert (wanted.python, wanted.minor) == ("3.11.7", "3.11")
    assert wanted.build == ("setuptools==65.5.0",)
    assert wanted.requirements == ("numpy==2.1.0", "six", "cloudpickle", "pandas")
    assert wanted.constraints == ("urllib3<3",)
    assert {name for name, _digest in wanted.sources} == {
        *("python_env.yaml", "requirements.txt", "constraints.txt")
    }


def test_the_digest_is_over_the_content_alone(tmp_path: Path) -> None:
    one, two = a_model(tmp_path / "one", "six"), a_model(tmp_path / "two", "# a comment\nsix\n")
    other = a_model(tmp_path / "other", "six==1.17.0")

    assert wanted_by(one).digest(one) == wanted_by(two).digest(two)
    assert wanted_by(one).digest(one) != wanted_by(other).digest(other)


def test_wheels_in_the_model_count_by_their_bytes(tmp_path: Path) -> None:
    model = a_model(tmp_path, "./wheels/a-1-py3-none-any.whl\n-e code/pkg")
    put(model, {"wheels/a-1-py3-none-any.whl": "one", "code/pkg/pyproject.toml": ""})
    before = wanted_by(model)
    digest = before.digest(model)

    put(model, {"wheels/a-1-py3-none-any.whl": "two"})

    assert before.paths == ("wheels/a-1-py3-none-any.whl", "code/pkg")
    assert wanted_by(model).digest(model) != digest


@pytest.mark.parametrize("requirements", ["mlflow==3.17.2", "mlflow-skinny==3.17.2"])
def test_mlflow_stays_where_code_imports_it(tmp_path: Path, requirements: str) -> None:
    model = a_model(tmp_path, requirements)
    put(model, {"agent.py": "def f():\n    from mlflow.models import set_model\n"})

    assert wanted_by(model).requirements == (requirements, *SCORING)


def test_mlflow_stays_where_a_pickle_names_it(tmp_path: Path) -> None:
    model = a_model(tmp_path, "mlflow==3.17.2")
    (model / "python_model.pkl").write_bytes(pickle.dumps("mlflow.pyfunc.model"))

    assert wanted_by(model).requirements == ("mlflow==3.17.2", *SCORING)


def test_mlflow_is_not_wanted_for_what_loads_without_it(tmp_path: Path) -> None:
    model = a_model(tmp_path, "mlflow==3.17.2")
    put(model, {"genai_model.py": "import mlflow"})
    (model / "python_model.pkl").write_bytes(dump_model(Doubler()))

    assert wanted_by(model).requirements == SCORING


def test_others_in_the_place_of_the_models(tmp_path: Path) -> None:
    model = a_model(tmp_path, "Six==1.0\nnumpy==2.1.0\n-c constraints.txt")
    put(model, {"constraints.txt": "six<1.1\nnumpy<3"})

    wanted = wanted_by(model, ["six==1.17.0", "extra", "pandas<3"])

    assert wanted.requirements == (
        *("six==1.17.0", "extra", "pandas<3", "numpy==2.1.0", "cloudpickle"),
    )
    assert wanted.constraints == ("numpy<3",)


@pytest.mark.parametrize("line", ["-i https://host.example", "-e .", "./x.whl", "@"])
def test_an_override_is_no_option(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidRequest, match="no requirement"):
        wanted_by(a_model(tmp_path, "six"), [line])


def test_older_folders_with_conda_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    conda = "dependencies: [python=3.12.4, cudatoolkit=11.0, pip, {pip: [six]}]\n"

    with caplog.at_level(logging.WARNING, "headrace"):
        wanted = wanted_by(put(tmp_path, {"conda.yaml": conda}))

    assert (wanted.python, wanted.requirements) == ("3.12.4", ("six", *SCORING))
    assert "cudatoolkit=11.0" in caplog.text


@pytest.mark.parametrize("conda", ["dependencies: [python>=3.8]", "dependencies: [python]", "{}"])
def test_no_python_is_this_python(tmp_path: Path, conda: str) -> None:
    assert wanted_by(put(tmp_path, {"conda.yaml": conda, "requirements.txt": ""})).minor == MINOR


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("requirements.txt", "../secret.whl", "not in its folder"),
        ("requirements.txt", "-e ..", "not in its folder"),
        ("requirements.txt", "/etc/passwd", "not in its folder"),
        ("requirements.txt", "wheels/absent.whl", "not in its folder"),
        ("requirements.txt", "-r ../r.txt", "outside the model"),
        ("python_env.yaml", "python: 3.11; rm -rf /", "asks for Python"),
        ("python_env.yaml", "python: --help", "asks for Python"),
        ("python_env.yaml", "python: [3]", "asks for Python"),
        ("python_env.yaml", "dependencies: 5", "no list of texts"),
        ("python_env.yaml", "dependencies: [{a: b}]", "no list of texts"),
        ("python_env.yaml", "- a", "no mapping"),
        ("python_env.yaml", "dependencies: &a [*a]", "no list of texts"),
        ("python_env.yaml", "!!python/object:os.system x", "python_env.yaml cannot be read"),
        ("python_env.yaml", "a: " + "[" * 2000, "levels deep"),
        ("python_env.yaml", "a: " + "x" * (1 << 20), "more than"),
    ],
)
def test_hostile_folders(tmp_path: Path, name: str, text: str, message: str) -> None:
    model = a_model(tmp_path / "model", "six")
    put(tmp_path, {"secret.whl": "", "r.txt": ""})
    put(model, {name: text})

    with pytest.raises(InvalidRequest, match=message):
        wanted_by(model)


def test_a_folder_that_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "requirements.txt")

    with pytest.raises(InvalidRequest, match="does not say what it needs"):
        wanted_by(tmp_path)
