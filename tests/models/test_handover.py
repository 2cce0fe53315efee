"""Models that one process opens, and another loads with little more than the standard library."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
import headrace.sklearn as sklearn  # noqa: PLR0402 - as above
from headrace.errors import InvalidModel, NotFound, NotTrusted
from headrace.models.environment.prepare import make_environment
from headrace.models.environment.uv_tool import run_uv
from headrace.models.environment.wanted import Wanted
from headrace.models.handover import hand_over, load_handed, take_over
from headrace.models.loading import load_pyfunc, open_model
from headrace.models.trust import sign_folder
from tests.fixtures.bare_worker import BOOT, import_bare, predict_bare, predict_here

TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, -1.0, 2.0, 0.0]})
SCRIPT = """
from pathlib import Path
from headrace.models import set_model
from headrace.pyfunc import PythonModel

class Doubled(PythonModel):
    def load_context(self, context):
        self.plus = float(Path(context.artifacts["plus"]).read_text())

    def predict(self, context, model_input, params=None):
        return model_input * 2 + self.plus + context.model_config["more"]

set_model(Doubled())
"""
SAVES_BY_VALUE = """
import sys
import pandas as pd
import headrace.pyfunc

class Halved(headrace.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import numpy as np
        return np.asarray(model_input) / 2

example = pd.DataFrame({"a": [1.0, 2.0]})
headrace.pyfunc.save_model(sys.argv[1], python_model=Halved(), input_example=example)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models: an estimator, a script with a file, and a class by value."""
    home = tmp_path_factory.mktemp("models")
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, [0, 0, 1, 1])
    sklearn.save_model(estimator, home / "estimator", input_example=TABLE)
    (home / "plus.txt").write_text("0.25")
    (home / "doubled.py").write_text(SCRIPT)
    pyfunc.save_model(
        home / "script",
        python_model=str(home / "doubled.py"),
        artifacts={"plus": str(home / "plus.txt")},
        model_config={"more": 100},
        input_example=TABLE,
    )
    command = [sys.executable, "-c", SAVES_BY_VALUE, str(home / "by-value")]
    subprocess.run(command, check=True, capture_output=True)
    return home


@pytest.fixture(scope="module")
def small_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the models' libraries and nothing of Headrace."""
    folder = tmp_path_factory.mktemp("environment") / "small"
    make_environment(folder, Wanted(".".join(map(str, sys.version_info[:3])), (), (), ()))
    from importlib.metadata import version

    names = ("scikit-learn", "pandas", "numpy", "scipy", "cloudpickle")
    pins = [f"{name}=={version(name)}" for name in names]
    python = folder / "bin" / "python"
    run_uv(["pip", "install", "--python", python, *pins], folder, "They cannot be had")
    return python


@pytest.mark.parametrize("name", ["estimator", "script", "by-value"])
def test_a_worker_without_headraces_dependencies_predicts_the_same(models: Path, name: str) -> None:
    assert predict_bare(models / name) == predict_here(models / name)


@pytest.mark.heavy
def test_a_script_that_uses_more_of_headrace_is_told_what_to_do(
    tmp_path: Path, small_python: Path
) -> None:
    script = "import headrace\nheadrace.Client\nheadrace.models.set_model(lambda model_input: 1)\n"
    (tmp_path / "model.py").write_text(script)
    pyfunc.save_model(tmp_path / "m", python_model=str(tmp_path / "model.py"), input_example=TABLE)
    with pytest.raises(RuntimeError, match=r"in line 2: .* msgspec\. .*--env-manager local"):
        predict_bare(tmp_path / "m", small_python)


def test_no_module_of_a_worker_imports_what_headrace_depends_on() -> None:
    root = BOOT.parents[2]
    folders = ("serving/worker", "serving/engines", "models/flavors")
    files = [each for folder in folders for each in (root / folder).rglob("*.py")]
    modules = [
        f"headrace.{'.'.join(each.relative_to(root).with_suffix('').parts)}" for each in files
    ]
    assert "headrace.models.flavors.sklearn" in modules

    for_models = ["headrace.pyfunc", "headrace.models", "headrace.types", "headrace.data"]
    assert import_bare([*sorted(modules), *for_models]) == {}
    assert import_bare(["headrace.client.client"]) != {}, "what does is found"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["estimator", "script", "by-value"])
def test_a_worker_in_an_environment_that_has_not_got_them(
    models: Path, small_python: Path, name: str
) -> None:
    asked = "import importlib.util as u; print(*map(u.find_spec, ('headrace', 'yaml', 'msgspec')))"
    ended = subprocess.run([small_python, "-I", "-c", asked], check=True, capture_output=True)
    assert ended.stdout.split() == [b"None"] * 3

    assert predict_bare(models / name, small_python) == predict_here(models / name)


def test_a_script_that_was_written_for_mlflow(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import mlflow\n"
        "from mlflow.types import ColSpec\n"
        "class Sums(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input):\n"
        "        return model_input.sum(axis=1)\n"
        "mlflow.models.set_model(Sums())\n"
    )
    example = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    pyfunc.save_model(
        tmp_path / "m", python_model=str(tmp_path / "model.py"), input_example=example
    )
    assert predict_bare(tmp_path / "m") == predict_here(tmp_path / "m")


def test_what_is_taken_over_is_what_was_opened(models: Path) -> None:
    opened, described = open_model(models / "script")
    folder, model = take_over(json.loads(json.dumps(hand_over(models / "script"))))

    assert model == described
    assert (folder.path, folder.names, folder.signer) == (
        opened.path,
        opened.names,
        opened.signer,
    )
    assert (folder.is_trusted, folder.is_vouched_for, folder.is_foreign) == (True, False, False)
    assert take_over(hand_over(models / "script", trust=True))[0].is_vouched_for


def test_files_that_change_afterwards_are_not_loaded(tmp_path: Path, models: Path) -> None:
    sklearn.save_model(LogisticRegression().fit(TABLE, [0, 0, 1, 1]), tmp_path / "m")
    handed = hand_over(tmp_path / "m")
    (tmp_path / "m" / "model.skops").write_bytes((models / "estimator/model.skops").read_bytes())

    with pytest.raises(InvalidModel, match=r"'model\.skops' has been changed since"):
        load_handed(handed)


def test_neither_the_description_nor_the_signature_is_read_again(
    models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    sklearn.save_model(LogisticRegression().fit(TABLE, [0, 0, 1, 1]), folder)
    handed = hand_over(folder)
    for name in ("MLmodel", "model.sig"):
        (folder / name).write_text("no longer")

    assert load_handed(handed).predict(TABLE).tolist() == [0, 0, 1, 1]


def test_code_of_somebody_unknown_is_not_run(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "keys-of-another"))
    handed = hand_over(models / "script")
    with pytest.raises(NotTrusted) as in_worker:
        load_handed(handed)
    with pytest.raises(NotTrusted) as here:
        load_pyfunc(models / "script")

    assert in_worker.value.message == here.value.message
    assert load_handed(hand_over(models / "script", trust=True)).predict(TABLE).shape == (4, 2)


def test_what_is_no_model_is_not_handed_over(tmp_path: Path, models: Path) -> None:
    with pytest.raises(NotFound, match="There is no model at"):
        hand_over(tmp_path)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.dates()
    | st.datetimes()
)
KEYS = st.text(max_size=3) | st.just("$") | st.integers() | st.dates() | st.tuples(st.integers())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_of_a_description_arrives(value: Any) -> None:
    from headrace.models.handover import _Plain, _restored

    assert _restored(json.loads(json.dumps(_Plain().of(value), allow_nan=False))) == value


def described(folder: Path, more: str) -> Path:
    """A model whose description goes on with `more`."""
    folder.mkdir()
    (folder / "MLmodel").write_text(f"flavors: {{}}\n{more}")
    sign_folder(folder)
    return folder


def test_dates_and_numbers_as_keys_keep_their_types(tmp_path: Path) -> None:
    folder = described(tmp_path / "m", "metadata: {on: 2026-01-02, labels: {0: no, 1: .nan}}\n")
    metadata: Any = take_over(hand_over(folder))[1].metadata
    assert metadata[True] == dt.date(2026, 1, 2)
    assert metadata["labels"][0] is False
    assert np.isnan(metadata["labels"][1])


@pytest.mark.parametrize(
    "more",
    [
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
        "a: &a [*a]\n",
    ],
    ids=["doubles", "circle"],
)
def test_a_description_that_grows_without_end_is_refused(tmp_path: Path, more: str) -> None:
    folder = described(tmp_path / "m", more)
    with pytest.raises(InvalidModel, match="refers to its own values too often"):
        hand_over(folder)


def run_boot(before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """boot.py as it is started, after a line of Python."""
    code = (
        f"import sys; {before}; sys.argv = ['boot.py', *{words!r}]; import runpy; "
        f"runpy.run_path({str(BOOT)!r}, run_name='__main__')"
    )
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, text=True, capture_output=True, check=False)


def test_the_bootstrap_takes_the_headrace_that_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "headrace").mkdir()
    (tmp_path / "headrace" / "__init__.py").write_text("raise RuntimeError('of the environment')")
    ended = run_boot(f"sys.path.insert(0, {str(tmp_path)!r})", "headrace.version")
    assert "'headrace.version' has no attribute 'main'" in ended.stderr, "the one with versions"


def test_a_python_that_is_too_old_is_told() -> None:
    ended = run_boot("sys.version_info = (3, 9, 1)", "headrace.serving.worker.main")
    assert ended.returncode == 78
    assert "has Python 3.9 " in ended.stderr
    assert "3.11 and newer" in ended.stderr
