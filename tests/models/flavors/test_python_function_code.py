"""Models as code, modules that are shipped with models, and modules that load models."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.errors import InvalidRequest
from headrace.models.mlflow_names import is_mlflow_installed, mlflow_names
from headrace.models.model import Model
from headrace.models.model_config import ModelConfig

AGENT = """
import mlflow
from mlflow.models import ModelConfig, set_model
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import PythonModelContext

config = ModelConfig(development_config={"word": "development"})

class Agent(PythonModel):
    def load_context(self, context: PythonModelContext):
        self.loaded = True

    def predict(self, context, model_input, params=None):
        import mlflow.pyfunc.utils  # late, when the names were gone for a while

        return [config.get("word"), self.loaded, model_input, mlflow.pyfunc.utils.__name__]

set_model(Agent())
"""


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    """What models put on the path goes with the test."""
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("assistant", "loads_it", "mathematics"):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.skipif(is_mlflow_installed(), reason="MLflow's own names are there")
def test_a_script_for_mlflow_runs_where_mlflow_is_not_installed(tmp_path: Path) -> None:
    script = write(tmp_path / "agent.py", AGENT)
    pyfunc.save_model(tmp_path / "m", python_model=script, model_config={"word": "saved"})
    entry = Model.load(tmp_path / "m").flavors["python_function"]
    assert entry["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert entry["model_code_path"] == "agent.py"
    assert "python_model" not in entry
    assert (tmp_path / "m" / "agent.py").read_text() == AGENT
    model = pyfunc.load_model(str(tmp_path / "m"), model_config={"word": "loaded"})
    assert model.predict(1) == ["loaded", True, 1, "mlflow.pyfunc.utils"]
    assert not [name for name in sys.modules if name.partition(".")[0] == "mlflow"]
    assert importlib.util.find_spec("mlflow") is None


def test_headraces_own_names_work_in_scripts(tmp_path: Path) -> None:
    script = write(
        tmp_path / "double.py",
        """
from headrace.models import ModelConfig, set_model

factor = ModelConfig(development_config={"factor": 1}).get("factor")

def multiply(rows: list[float]) -> list[float]:
    return [row * factor for row in rows]

set_model(multiply)
""",
    )
    pyfunc.save_model(tmp_path / "m", python_model=str(script), model_config={"factor": 2})
    assert Model.load(tmp_path / "m").is_signature_from_type_hint
    assert pyfunc.load_model(str(tmp_path / "m")).predict([1.5]) == [3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "does not say which object is the model"),
        ("x = 1\n1 / 0\n", r"'agent\.py' fails in line 2: ZeroDivisionError"),
        ("x = (\n", r"'agent\.py' fails in line 1: SyntaxError"),
        ("import no_such_module_here\n", r"no_such_module_here.*code_paths"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("from headrace.models import set_model\nset_model(7)\n", "set_model is given int"),
        (
            "from headrace.models import ModelConfig\nModelConfig(development_config={'a': 1})\n",
            "model_config",
        ),
    ],
)
def test_a_script_that_fails_says_where(tmp_path: Path, text: str, message: str) -> None:
    script = write(tmp_path / "agent.py", text)
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", python_model=script)
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(is_mlflow_installed(), reason="MLflow's own names are there")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import mlflow.langchain\n", r"mlflow\.langchain.*pip install mlflow"),
        ("import mlflow\nmlflow.no_such_thing()\n", r"mlflow\.no_such_thing.*MLflow is installed"),
        ("from mlflow.pyfunc import ResponsesAgent\n", "ResponsesAgent"),
    ],
)
def test_what_only_mlflow_has_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", python_model=write(tmp_path / "agent.py", text))


@pytest.mark.skipif(is_mlflow_installed(), reason="MLflow's own names are there")
def test_the_names_are_there_as_long_as_anybody_needs_them() -> None:
    with mlflow_names():
        with mlflow_names():
            import mlflow.pyfunc
        assert mlflow.pyfunc.PythonModel is pyfunc.PythonModel
        assert mlflow.__version__ == "3.17.2"
        assert importlib.util.find_spec("mlflow.tracking") is not None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mlflow")


def test_configuration_stands_in_while_code_is_written(tmp_path: Path) -> None:
    file = write(tmp_path / "config.yaml", "a: 1\nb: [2, 3]\n")
    config = ModelConfig(development_config=str(file))
    assert (config.get("a"), config.to_dict()) == (1, {"a": 1, "b": [2, 3]})
    with pytest.raises(KeyError, match="'c'"):
        config.get("c")
    with pytest.raises(InvalidRequest, match="development_config"):
        ModelConfig()


def test_two_models_bring_modules_of_one_name(tmp_path: Path) -> None:
    for word in ("first", "second"):
        write(tmp_path / word / "assistant.py", f"WORD = '{word}'\n")
        script = write(
            tmp_path / word / "agent.py",
            "import assistant\nfrom headrace.models import set_model\n"
            "set_model(lambda data: assistant.WORD)\n",
        )
        sys.path.insert(0, str(tmp_path / word))
        sys.modules.pop("assistant", None)
        pyfunc.save_model(
            tmp_path / f"m-{word}",
            python_model=script,
            code_paths=[str(tmp_path / word / "assistant.py")],
        )
        sys.path.remove(str(tmp_path / word))
    sys.modules.pop("assistant", None)
    first = pyfunc.load_model(str(tmp_path / "m-first"))
    second = pyfunc.load_model(str(tmp_path / "m-second"))
    assert (first.predict(1), second.predict(1)) == ("first", "second")
    assert pyfunc.load_model(str(tmp_path / "m-first")).predict(1) == "first"


def test_modules_of_ones_own_are_found_and_shipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "src" / "mathematics" / "__init__.py", "")
    write(tmp_path / "src" / "mathematics" / "sums.py", "import assistant\nplus = assistant.PLUS\n")
    write(tmp_path / "src" / "assistant.py", "import yaml\nPLUS = 5\n")
    sys.path.insert(0, str(tmp_path / "src"))
    script = write(
        tmp_path / "agent.py",
        "from mathematics import sums\nfrom headrace.models import set_model\n"
        "set_model(lambda data: data + sums.plus)\n",
    )
    with caplog.at_level(logging.WARNING, "headrace"):
        pyfunc.save_model(tmp_path / "m", python_model=script, infer_code_paths=True)
        assert "do not go with it" not in caplog.text
        pyfunc.save_model(tmp_path / "without", python_model=script)
        assert "do not go with it: mathematics." in caplog.text
    code = tmp_path / "m" / "code"
    assert {each.relative_to(code).as_posix() for each in code.rglob("*.py")} == {
        "mathematics/__init__.py",
        "mathematics/sums.py",
        "assistant.py",
    }
    assert "pyyaml==" in (tmp_path / "m" / "requirements.txt").read_text().lower()
    sys.path.remove(str(tmp_path / "src"))
    for name in [each for each in sys.modules if each.startswith(("mathematics", "assistant"))]:
        del sys.modules[name]
    assert pyfunc.load_model(str(tmp_path / "m")).predict(1) == 6
    with pytest.raises(InvalidRequest, match="not both"):
        pyfunc.save_model(
            tmp_path / "n", python_model=script, infer_code_paths=True, code_paths=[str(script)]
        )


LOADER = """
import json, os

class Loaded:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, data, params=None):
        return [each * self.factor + (params or {}).get("plus", 0) for each in data]

def _load_pyfunc(path, model_config=None):
    with open(os.path.join(path, "factor.json")) as file:
        return Loaded(json.load(file) + (model_config or {}).get("more", 0))
"""


def test_a_module_of_ones_own_loads_the_model(tmp_path: Path) -> None:
    write(tmp_path / "data" / "factor.json", "3")
    loader = write(tmp_path / "loads_it.py", LOADER)
    pyfunc.save_model(
        tmp_path / "m",
        loader_module="loads_it",
        data_path=tmp_path / "data",
        code_paths=[str(loader)],
        model_config={"more": 0},
    )
    entry = Model.load(tmp_path / "m").flavors["python_function"]
    assert (entry["data"], entry["code"]) == ("data/data", "code")
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict([1, 2]) == [3, 6]
    assert model.predict([1], params={"plus": 1}) == [4]
    assert model.get_raw_model().factor == 3
    assert pyfunc.load_model(str(tmp_path / "m"), model_config={"more": 1}).predict([1]) == [4]
    with pytest.raises(InvalidRequest, match="no PythonModel"):
        model.unwrap_python_model()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_path": "."}, "needs 'loader_module'"),
        ({"loader_module": "a", "python_model": print}, "give one of the two"),
        ({"loader_module": "a", "artifacts": {"a": "."}}, "give one of the two"),
        ({"loader_module": "a", "data_path": "/no/such/place"}, "no file or folder"),
    ],
)
def test_ways_to_load_exclude_each_other(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", **arguments)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("os", "os as its loader module, which has no function _load_pyfunc"),
        ("no.such.module", "'no' is not there"),
        ("not a name", "expected a module's name"),
    ],
)
def test_a_module_that_loads_nothing_is_named(tmp_path: Path, loader: str, message: str) -> None:
    pyfunc.save_model(tmp_path / "m", loader_module=loader)
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.load_model(str(tmp_path / "m"))


@pytest.mark.skipif(is_mlflow_installed(), reason="MLflow would load it")
def test_flavors_that_only_mlflow_has_are_named(tmp_path: Path) -> None:
    pyfunc.save_model(tmp_path / "m", loader_module="mlflow.prophet")
    with pytest.raises(InvalidRequest, match=r"no flavor for models that mlflow\.prophet loads"):
        pyfunc.load_model(str(tmp_path / "m"))
