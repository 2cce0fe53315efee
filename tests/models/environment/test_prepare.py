"""Environments for models, made with the real uv from real packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted, Unavailable
from headrace.models.environment import Requirements, write_environment
from headrace.models.environment.prepare import plan_for, prepare
from headrace.models.trust import sign_folder
from headrace.predicting import predict
from tests.fixtures.bare_worker import predict_bare
from tests.models.environment.conftest import put

pytestmark = pytest.mark.usefixtures("cache")
NO_PYTHON = "3.99.1"


def ask(python: Path, code: str) -> str:
    """What a line of code prints in an environment."""
    done = subprocess.run(
        [str(python), "-c", code], check=True, capture_output=True, text=True, cwd=python.parent
    )
    return done.stdout.strip()


def needing(model: Path, *lines: str) -> Path:
    """The model, needing something else."""
    write_environment(model, Requirements(pip_requirements=["mlflow-skinny==3.17.2", *lines]))
    return model


@pytest.mark.heavy
def test_made_once_without_headrace_in_it(model: Path, cache: Path) -> None:
    sign_folder(model)

    first, second = prepare(model), prepare(model)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.python == second.python
    assert first.python.is_relative_to(cache)
    assert ask(first.python, "import six; print(six.__version__)") == "1.17.0"
    code = "import importlib.util as u; print(*map(u.find_spec, ('headrace', 'mlflow', 'yaml')))"
    assert ask(first.python, code) == "None None None"


CLASHING = ("msgspec==0.15.1", "click==7.1.2", "urllib3==1.26.20")
SAYS_VERSIONS = """
from importlib.metadata import version
from headrace.models import set_model

def versions(model_input):
    return [version(name) for name in ("msgspec", "click", "urllib3")]

set_model(versions)
"""


@pytest.mark.heavy
def test_nothing_clashes_with_headraces_own_packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = put(tmp_path, {"versions.py": SAYS_VERSIONS}) / "versions.py"
    pyfunc.save_model(
        tmp_path / "m",
        python_model=str(script),
        pip_requirements=CLASHING,
        input_example=pd.DataFrame({"a": [1]}),
    )
    made = prepare(tmp_path / "m")
    versions = ["0.15.1", "7.1.2", "1.26.20"]

    assert predict_bare(tmp_path / "m", made.python) == versions
    predict(tmp_path / "m", pd.DataFrame({"a": [1]}))
    assert json.loads(capsys.readouterr().out) == {"predictions": versions}
    assert prepare(tmp_path / "m") == made._replace(is_new=False)


@pytest.mark.heavy
def test_a_copy_of_the_model_elsewhere_has_the_same_environment(
    model: Path, tmp_path: Path
) -> None:
    made = prepare(model, trust=True)
    copied = Path(shutil.copytree(model, tmp_path / "copied"))

    # Nothing is installed for it, so that nobody needs to be trusted.
    assert prepare(copied) == made._replace(is_new=False)


@pytest.mark.heavy
def test_what_another_process_left_half_made_is_not_used(model: Path) -> None:
    plan = plan_for(model)
    put(plan.folder, {"bin/python": "#!/bin/sh\necho half\n", "wanted-requirements.txt": "x"})
    (plan.folder / "bin" / "python").chmod(0o700)
    assert plan.made() is None

    assert ask(prepare(model, trust=True).python, "import six; print('whole')") == "whole"


@pytest.mark.heavy
def test_one_whose_python_has_gone_is_made_anew(model: Path) -> None:
    made = prepare(model, trust=True)
    made.python.unlink()
    made.python.symlink_to("/no/such/python")

    assert prepare(model, trust=True).is_new
    assert ask(made.python, "print('back')") == "back"


@pytest.mark.heavy
def test_two_at_once_make_one(model: Path, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from headrace.models.environment.prepare import prepare\n"
        "print(prepare(Path(sys.argv[1]), trust=True).is_new)\n"
    )
    programs = [
        subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = sorted(program.communicate()[0].decode().strip() for program in programs)

    assert answers == ["False", "False", "True"]
    assert len(list((cache / "environments").glob("*/ready.json"))) == 1


@pytest.mark.heavy
def test_a_wheel_in_the_model_is_installed_from_it(model: Path) -> None:
    from headrace.deploy.wheel import WheelContent, write_wheel

    about = "tiny-1.0.dist-info"
    (model / "wheels").mkdir()
    files = {
        "tiny.py": b"ANSWER = 42\n",
        f"{about}/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    write_wheel(model / "wheels", WheelContent("tiny-1.0-py3-none-any.whl", lines, files))
    needing(model, "wheels/tiny-1.0-py3-none-any.whl")
    sign_folder(model)

    assert ask(prepare(model).python, "import tiny; print(tiny.ANSWER)") == "42"


@pytest.mark.heavy
def test_a_package_that_is_not_to_be_had(model: Path, cache: Path) -> None:
    needing(model, "six==0.0.0.1")

    with pytest.raises(InvalidRequest, match=r"cannot be installed(.|\n)*six==0\.0\.0\.1"):
        prepare(model, trust=True)

    assert [path.name for path in (cache / "environments").iterdir() if path.is_dir()] == []


@pytest.mark.heavy
def test_packages_that_conflict(model: Path) -> None:
    put(model, {"requirements.txt": "six==1.17.0\nsix==1.16.0\n"})

    with pytest.raises(InvalidRequest, match="cannot be installed"):
        prepare(model, trust=True)


@pytest.mark.heavy
def test_without_a_network(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    with pytest.raises(Unavailable, match="could not be reached") as caught:
        prepare(model, trust=True)

    assert "127.0.0.1" not in caught.value.message


@pytest.mark.heavy
def test_a_python_that_is_not_here(model: Path) -> None:
    put(model, {"python_env.yaml": f"python: {NO_PYTHON}\ndependencies: [six]\n"})

    with pytest.raises(InvalidRequest, match=r"Python 3\.99, which the model asks for"):
        prepare(model, trust=True)


def test_a_python_that_is_too_old_for_headrace(model: Path) -> None:
    put(model, {"python_env.yaml": "python: 3.8.20\ndependencies: [six]\n"})

    with pytest.raises(InvalidRequest, match=r"asks for Python 3\.8, and Headrace runs on 3\.11"):
        prepare(model, trust=True)


@pytest.mark.parametrize(
    "line",
    ["-i http://127.0.0.1:1/simple", "--python /bin/true", "--target /tmp/x", "-t /tmp/x"],
)
@pytest.mark.heavy
def test_a_line_of_requirements_is_no_option_of_the_command(
    model: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    put(model, {"requirements.txt": f"{line}\nno-such-package-of-headrace==9\n"})

    with pytest.raises((InvalidRequest, Unavailable)) as caught:
        prepare(model, trust=True)

    assert "127.0.0.1" not in caught.value.message
    assert not Path("/tmp/x").exists()


def test_nothing_is_installed_for_strangers(model: Path, cache: Path) -> None:
    with pytest.raises(NotTrusted, match="requirements"):
        prepare(model)

    assert not any(path.is_dir() for path in (cache / "environments").glob("*"))


def test_a_changed_requirement_is_found(model: Path) -> None:
    sign_folder(model)
    put(model, {"requirements.txt": "something-else\n"})

    with pytest.raises(InvalidModel):
        prepare(model)


def test_a_file_put_beside_the_signed_ones_is_not_followed(model: Path) -> None:
    put(model, {"requirements.txt": "six\n"})
    (model / "python_env.yaml").unlink()
    sign_folder(model)
    put(model, {"python_env.yaml": "dependencies: [something-else]\n"})

    with pytest.raises(InvalidModel, match=r"python_env\.yaml"):
        prepare(model)


@pytest.mark.heavy
def test_only_its_owner_reads_the_cache(model: Path, cache: Path) -> None:
    made = prepare(model, trust=True)

    assert os.stat(made.folder.parent).st_mode & 0o077 == 0
    assert json.loads((made.folder / "ready.json").read_text())["python"]
