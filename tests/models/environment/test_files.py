"""The files that say what a model needs, from the arguments of save_model."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.errors import InvalidRequest
from headrace.models.environment import Requirements, requirements_for, write_environment
from headrace.models.environment.installed import installed_packages
from tests.models.environment.conftest import Install, put

PYTHON = platform.python_version()


def found() -> list[str]:
    return ["mlflow==3.17.2", "numpy==2.1.0"]


def unasked() -> list[str]:
    raise AssertionError("The caller has listed all.")


def read(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text(encoding="utf-8").splitlines()


def test_the_files_as_mlflow_writes_them(tmp_path: Path) -> None:
    entry = write_environment(tmp_path, Requirements(), found)

    assert entry == {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    assert read(tmp_path, "requirements.txt") == found()
    pip = installed_packages().get("pip")
    assert yaml.safe_load((tmp_path / "conda.yaml").read_text()) == {
        "channels": ["conda-forge"],
        "dependencies": [f"python={PYTHON}", f"pip<={pip}" if pip else "pip", {"pip": found()}],
        "name": "mlflow-env",
    }
    python = yaml.safe_load((tmp_path / "python_env.yaml").read_text())
    assert list(python) == ["python", "build_dependencies", "dependencies"]
    assert python["python"] == PYTHON
    assert [line.partition("=")[0] for line in python["build_dependencies"]] == [
        *("pip", "setuptools", "wheel")
    ]
    assert python["dependencies"] == ["-r requirements.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("conda.yaml", "python_env.yaml", "requirements.txt")
    ]


def test_a_whole_list_and_its_constraints(tmp_path: Path) -> None:
    put(tmp_path, {"given/r.txt": "msgspec\n-c c.txt", "given/c.txt": "urllib3<3\n"})
    model = put(tmp_path / "model", {})
    model.mkdir()

    write_environment(model, Requirements(pip_requirements=tmp_path / "given/r.txt"), unasked)

    lines = ["mlflow==3.17.2", "msgspec", "-c constraints.txt"]
    assert read(model, "requirements.txt") == lines
    assert read(model, "constraints.txt") == ["urllib3<3"]
    assert yaml.safe_load((model / "conda.yaml").read_text())["dependencies"][-1] == {"pip": lines}


def test_the_callers_mlflow_stays(tmp_path: Path) -> None:
    given = Requirements(pip_requirements=["msgspec", "mlflow-skinny>=3"])

    write_environment(tmp_path, given, unasked)

    assert read(tmp_path, "requirements.txt") == ["msgspec", "mlflow-skinny>=3"]


def test_extra_requirements_join_what_was_found(tmp_path: Path) -> None:
    extra = Requirements(extra_pip_requirements=["msgspec", "numpy<3"])

    write_environment(tmp_path, extra, found)

    assert read(tmp_path, "requirements.txt") == [
        *("mlflow==3.17.2", "numpy<3,==2.1.0", "msgspec"),
    ]


def test_a_conda_environment_keeps_what_it_says(tmp_path: Path) -> None:
    environment = {
        "name": "mine",
        "channels": ["defaults"],
        "dependencies": ["python=3.12.4", "cudatoolkit=11", {"pip": ["msgspec"]}, "ffmpeg"],
    }
    put(tmp_path, {"env.yaml": yaml.safe_dump(environment)})

    write_environment(tmp_path, Requirements(conda_env=str(tmp_path / "env.yaml")), unasked)

    written = yaml.safe_load((tmp_path / "conda.yaml").read_text())
    environment["dependencies"][2] = {"pip": ["mlflow==3.17.2", "msgspec"]}  # type: ignore[index]  # a list
    assert written == environment
    assert read(tmp_path, "requirements.txt") == ["mlflow==3.17.2", "msgspec"]
    assert yaml.safe_load((tmp_path / "python_env.yaml").read_text())["python"] == "3.12.4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pip_requirements": [], "conda_env": {}}, "Give one of 'conda_env' and 'pip_req"),
        ({"pip_requirements": ["a"], "extra_pip_requirements": ["b"]}, "Give one of"),
        ({"conda_env": 5}, "expected a dictionary"),
        ({"conda_env": {"name": "x"}}, "no conda environment"),
        ({"conda_env": "no-such-file.yaml"}, "cannot be read"),
        ({"pip_requirements": "no-such-file.txt"}, "cannot be read"),
        ({"pip_requirements": [5]}, "of type int"),
        ({"extra_pip_requirements": ["numpy==1.0"]}, "exclude each other"),
        ({"extra_pip_requirements": ["@@@"]}, "no requirement"),
        ({"uv_project_path": "no-such-folder"}, "has no uv.lock"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    model = tmp_path / "model"
    model.mkdir()

    with pytest.raises(InvalidRequest, match=message):
        write_environment(model, Requirements(**arguments), found)

    assert list(model.iterdir()) == []


def test_checked_before_the_model_is_saved() -> None:
    Requirements(extra_pip_requirements=["numpy<3"]).check()

    with pytest.raises(InvalidRequest, match="no requirement"):
        Requirements(extra_pip_requirements=["@@@"]).check()


def test_a_warning_where_others_are_installed_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = Requirements(
        pip_requirements=["numpy==1.0", "no-such-package", "msgspec>0", "x; python_version<'3'"]
    )

    with caplog.at_level(logging.WARNING, "headrace"):
        write_environment(tmp_path, given, unasked)

    [text] = caplog.messages
    assert "numpy: required numpy==1.0, installed 2" in text
    assert "no-such-package: required no-such-package, installed not at all" in text
    assert "msgspec" not in text
    assert "python_version" not in text


def test_pins_of_packages_modules_and_code(install: Install, tmp_path: Path) -> None:
    install("the-lib", "2.0+cpu", "the_lib/__init__.py")
    install("by-module", "1.5", "by_module.py")
    install("by-code", "0.9", "by_code.py")
    code = (
        put(tmp_path, {"code.py": "import by_code, os, headrace, mlflow, setuptools"}) / "code.py"
    )

    lines = requirements_for(
        ["the_lib[extra]", "absent", "conditioned>=3"], ["by_module.deep", "builtins"], [code]
    )

    assert lines == [
        "mlflow==3.17.2",
        "absent",
        "by-code==0.9",
        "by-module==1.5",
        "conditioned>=3",
        "the-lib[extra]==2.0",
    ]


def test_headrace_does_not_ask_for_itself() -> None:
    assert requirements_for([], ["headrace.client.client"]) == ["mlflow==3.17.2"]
