"""`headrace models`: environments, predictions in them, and what models need."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from headrace.models.environment import Requirements, write_environment
from headrace.models.trust import sign_folder
from headrace.serving import once
from tests.cli.conftest import Headrace, Ran
from tests.serving.models import asked, save_unruly
from tests.serving.waiting import wait_until

SPLIT = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.5], [2.0]]}})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A scikit-learn model that was saved and signed here, needing what is installed here."""
    import headrace.sklearn

    pandas = pytest.importorskip("pandas")
    linear = pytest.importorskip("sklearn.linear_model")
    table = pandas.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    fitted = linear.LinearRegression().fit(table, [0.0, 2.0, 4.0, 6.0])
    folder = tmp_path / "model"
    headrace.sklearn.save_model(fitted, folder, input_example=table.head(2))
    return folder


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed folder with requirements, in a cache of its own; nothing in it predicts."""
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "bare"
    folder.mkdir()
    write_environment(folder, Requirements(pip_requirements=["mlflow-skinny==3.17.2", "six"]))
    sign_folder(folder)
    return folder


def rounded(text: str) -> list[float]:
    return [round(value, 6) for value in json.loads(text)["predictions"]]


@pytest.mark.parametrize("command", ["predict", "prepare-env", "serve"])
def test_a_folder_that_is_not_there(headrace: Headrace, tmp_path: Path, command: str) -> None:
    ran = headrace("models", command, "-m", str(tmp_path / "none"), input="{}")
    assert ran.code == 3
    assert f"There is no model at '{tmp_path / 'none'}'" in ran.err


@pytest.mark.parametrize("command", ["predict", "prepare-env", "serve"])
def test_a_model_in_an_object_store(headrace: Headrace, tmp_path: Path, command: str) -> None:
    ran = headrace("models", command, "-m", "s3://bucket/model", input="{}")
    assert ran.code == 2
    assert "Models at 's3:' cannot be read: expected a folder, models:/" in ran.err
    assert "headrace.db" not in ran.err
    assert not list(tmp_path.iterdir())


def test_predict_here_from_stdin_and_files(headrace: Headrace, model: Path, tmp_path: Path) -> None:
    words = ("models", "predict", "-m", str(model), "--env-manager", "local")

    ran = headrace(*words, input=SPLIT)
    assert ran.code == 0, ran.err
    assert rounded(ran.out) == [3.0, 4.0]

    (tmp_path / "in.csv").write_text("x\n1.5\n2.0\n", encoding="utf-8")
    files = ("-i", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.json"))
    for given in (("-t", "csv"), ()):  # a file that ends in .csv says what it is
        ran = headrace(*words, *given, *files)
        assert (ran.code, ran.out) == (0, "")
        assert rounded((tmp_path / "out.json").read_text()) == [3.0, 4.0]
        (tmp_path / "out.json").unlink()


def test_predict_takes_the_example_that_was_saved(headrace: Headrace, model: Path) -> None:
    example = str(model / "serving_input_example.json")

    ran = headrace("models", "predict", "-m", str(model), "--env-manager", "local", "-i", example)

    assert rounded(ran.out) == [0.0, 2.0]


@pytest.mark.parametrize(
    ("words", "text", "code", "message"),
    [
        ((), "no json", 2, "no JSON"),
        ((), '{"dataframe_split": {"columns": ["y"], "data": [[1]]}}', 2, "x"),
        (("-t", "csv"), "y\n1\n", 2, "x"),
        (("-r", "six==1.17.0"), SPLIT, 2, "--env-manager uv"),
        (("--env", "novalue"), SPLIT, 2, "KEY=VALUE"),
        (("--env-manager", "conda"), SPLIT, 2, "conda"),
        ((), "[1]", 2, "a list"),
    ],
)
def test_wrong_usage_is_told(
    headrace: Headrace, model: Path, words: tuple[str, ...], text: str, code: int, message: str
) -> None:
    ran = headrace(
        *("models", "predict", "-m", str(model), "--env-manager", "local"), *words, input=text
    )

    assert ran.code == code
    assert message in ran.err


@pytest.fixture
def unruly(tmp_path: Path) -> Path:
    """A model that does what its rows say."""
    return save_unruly(tmp_path / "unruly")


def predict_here(headrace: Headrace, folder: Path, body: bytes, *words: str) -> Ran:
    command = ("models", "predict", "-m", str(folder), "--env-manager", "local", *words)
    return headrace(*command, input=body.decode())


def test_what_the_model_prints_is_no_part_of_the_answer(
    headrace: Headrace, unruly: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = predict_here(headrace, unruly, asked("print", ("echo", 2.5)))

    assert (ran.code, ran.out) == (0, '{"predictions": ["None", "2.5"]}\n')
    printed = capfd.readouterr()
    assert "printed 0.0" in printed.err
    assert "written to the descriptor" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("raise", "The model could not predict: ValueError: the secret of row 7"),
        ("sys_exit", "The model could not predict: SystemExit: 3"),
        ("interrupt", "The model could not predict: KeyboardInterrupt"),
        ("exit", "The model's process ended over this input: it ended with status 5."),
        ("segfault", "The model's process ended over this input: it was ended by SIGSEGV."),
        ("kill", "it was ended by SIGKILL, as the system does where memory runs out."),
    ],
)
def test_a_model_that_fails_is_told_in_a_line(
    headrace: Headrace, unruly: Path, deed: str, message: str
) -> None:
    ran = predict_here(headrace, unruly, asked(deed))

    assert (ran.code, ran.out) == (1, "")
    [line] = ran.err.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_the_traceback_is_there_for_who_asks(headrace: Headrace, unruly: Path) -> None:
    ran = predict_here(headrace, unruly, asked("raise"), "--debug")

    assert ran.code == 1
    assert 'unruly_model.py", line' in ran.err
    assert ran.err.splitlines()[-1].startswith("Error: The model could not predict: ValueError")


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("raise", "could not be loaded: ValueError: the secret of row 7"),
        ("exit", "ended while the model was loaded: it ended with status 5."),
    ],
)
def test_a_model_that_fails_to_load(
    headrace: Headrace, tmp_path: Path, deed: str, message: str
) -> None:
    ran = predict_here(headrace, save_unruly(tmp_path / "m", load=deed), asked("echo"))

    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err


def test_no_child_of_the_model_stays(headrace: Headrace, unruly: Path) -> None:
    ran = predict_here(headrace, unruly, asked("spawn", "fork"))

    children = [int(each) for each in json.loads(ran.out)["predictions"]]
    assert len(children) == 2
    wait_until(lambda: not any(map(is_alive, children)))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_variables_are_the_models_alone(
    headrace: Headrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    script = tmp_path / "variables.py"
    script.write_text(
        "import os\nfrom headrace.models import set_model\n\n"
        "def variables(model_input):\n"
        "    return [os.environ.get(name) for name in model_input['name']]\n\n"
        "set_model(variables)\n"
    )
    pyfunc.save_model(tmp_path / "m", python_model=str(script), pip_requirements=["six"])
    body = json.dumps({"dataframe_records": [{"name": "ADDED"}, {"name": "PYTHONPATH"}]}).encode()

    ran = predict_here(headrace, tmp_path / "m", body, "--env", "ADDED=a=b")

    assert json.loads(ran.out) == {"predictions": ["a=b", None]}
    assert "ADDED" not in os.environ


def test_what_is_too_large_is_told(
    headrace: Headrace, unruly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "MAX_INPUT", 20)
    monkeypatch.setattr(once, "_CHUNK", 8)

    ran = predict_here(headrace, unruly, b" " * 1000)

    assert ran.code == 2
    assert "more than 20 bytes" in ran.err
    assert len(once.read_input(io.BytesIO(b" " * 1000))) == 24


def test_prepare_env_of_a_stranger_is_refused(headrace: Headrace, bare: Path) -> None:
    (bare / "model.sig").unlink()

    ran = headrace("models", "prepare-env", "-m", str(bare))

    assert ran.code == 4
    assert "requirements.txt" in ran.err


def test_prepare_env_here_is_this_python(headrace: Headrace, bare: Path) -> None:
    ran = headrace("models", "prepare-env", "-m", str(bare), "--env-manager", "local")

    assert ran.out.strip() == sys.executable


def test_a_model_that_is_not_there(headrace: Headrace) -> None:
    ran = headrace("models", "predict", "-m", "no-such-model", "--env-manager", "local", input="")

    assert ran.code == 3
    assert "no-such-model" in ran.err


def test_update_requirements_of_a_folder(headrace: Headrace, bare: Path) -> None:
    words = ("models", "update-pip-requirements", "-m", str(bare))

    assert headrace(*words, "add", "numpy==2.1.0", "six==1.17.0").code == 0
    assert headrace(*words, "remove", "numpy").code == 0

    assert (bare / "requirements.txt").read_text() == "mlflow-skinny==3.17.2\nsix==1.17.0\n"
    assert headrace("trust", "verify", str(bare)).code == 0


def test_update_requirements_of_a_registered_version(headrace: Headrace) -> None:
    ran = headrace("models", "update-pip-requirements", "-m", "models:/churn/1", "add", "six")

    assert ran.code == 2
    assert "read-only" in ran.err


@pytest.mark.heavy
def test_prepare_env_prints_its_python(headrace: Headrace, bare: Path) -> None:
    first = headrace("models", "prepare-env", "-m", str(bare), "--json").json
    second = headrace("models", "prepare-env", "-m", str(bare), "--json").json

    assert first == {"python": second["python"], "is_new": True}
    code = "import six, pandas, importlib.util as u; print(u.find_spec('headrace'))"
    words = [first["python"], "-I", "-c", code]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "None"


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_predict_in_an_environment_of_its_own(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    # What lies in the working folder, and on PYTHONPATH, is not what the model runs with.
    for folder in (tmp_path / "shadow", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "sklearn.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "headrace", "models", "predict", "-m", str(model)]

    done = subprocess.run(
        [*command, "--env", "ADDED=yes"],
        input=SPLIT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert rounded(done.stdout) == [3.0, 4.0]
    [environment] = (tmp_path / "cache" / "environments").glob("*/ready.json")
    assert environment.parent.name.startswith("py3.")


@pytest.mark.heavy
def test_what_fails_in_the_environment_is_the_exit_code(headrace: Headrace, bare: Path) -> None:
    # The folder says what it needs and not what it is, which only who loads it finds out.
    assert headrace("models", "predict", "-m", str(bare), input=SPLIT).code == 3
