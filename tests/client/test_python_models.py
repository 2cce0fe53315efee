"""Models written in Python, logged and loaded by their URIs."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headrace
import headrace.pyfunc
from headrace.client.model_artifacts import fetched_artifacts
from headrace.errors import InvalidRequest, NotFound
from headrace.models.model import Model
from headrace.models.resources import DatabricksTable


class Times(headrace.pyfunc.PythonModel):
    """Multiplies by what its file says."""

    def load_context(self, context: Any) -> None:
        self.factor = int(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input * self.factor


FRAME = pd.DataFrame({"a": [1.0, 2.0]})


def test_a_model_takes_files_of_a_run_along(uri: str, tmp_path: Path) -> None:
    (tmp_path / "factor.txt").write_text("3")
    with headrace.start_run() as run:
        headrace.log_artifact(str(tmp_path / "factor.txt"), "files")
        source = f"runs:/{run.info.run_id}/files/factor.txt"
        info = headrace.pyfunc.log_model(
            name="times",
            python_model=Times(),
            artifacts={"factor": source},
            input_example=FRAME,
            registered_model_name=f"times-{run.info.run_id}",
            resources=[DatabricksTable("t")],
            prompts=["prompts:/greeting/1"],
        )
    assert info.flavors["python_function"]["artifacts"] == {
        "factor": {"path": "artifacts/factor.txt", "uri": source}
    }
    models = [
        headrace.pyfunc.load_model(model_uri)
        for model_uri in (info.model_uri, f"models:/times-{run.info.run_id}/1")
    ]
    for model in models:
        assert model.predict(FRAME)["a"].tolist() == [3.0, 6.0]
        assert model.model_id == info.model_id
        assert model.metadata.resources == {
            "databricks": {"table": [{"name": "t"}]},
            "api_version": "1",
        }
        assert model.metadata.prompts == ["prompts:/greeting/1"]
    assert models[0] == models[1]
    assert "python_function" in repr(models[0])
    assert models[0].input_example["a"].tolist() == [1.0, 2.0]


def test_a_script_is_logged_by_its_path(database: str, tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text(
        "from headrace.models import ModelConfig, set_model\n"
        "word = ModelConfig(development_config={'word': 'x'}).get('word')\n"
        "set_model(lambda names: [word + name for name in names])\n"
    )
    info = headrace.pyfunc.log_model(
        name="agent", python_model=str(script), model_config={"word": "Hi "}
    )
    assert headrace.pyfunc.load_model(info.model_uri).predict(["Ada"]) == ["Hi Ada"]


def test_what_cannot_be_fetched_is_named(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert fetched_artifacts(None) is None
    with pytest.raises(NotFound, match="no-such"):
        fetched_artifacts({"a": "models:/no-such/1"})
    with pytest.raises(InvalidRequest, match="expected a dictionary"):
        fetched_artifacts(["a"])
    if importlib.util.find_spec("huggingface_hub") is None:
        with pytest.raises(InvalidRequest, match="pip install 'huggingface_hub'"):
            fetched_artifacts({"a": "hf:/owner/name"})
    with (
        caplog.at_level(logging.WARNING, "headrace"),
        pytest.raises(InvalidRequest, match="no file or folder"),
    ):
        headrace.pyfunc.log_model(
            name="broken", python_model=Times(), artifacts={"factor": str(tmp_path / "nothing")}
        )
    found = headrace.search_logged_models(output_format="list")
    assert [each.status for each in found if each.name == "broken"] == ["FAILED"]


def test_packages_can_say_themselves_how_a_model_is_loaded() -> None:
    model = headrace.pyfunc.add_to_model(
        Model(), "theirs.loader", data="data", conda_env="conda.yaml", model_config={"a": 1}, own=2
    )
    entry = model.flavors["python_function"]
    assert entry.pop("python_version").startswith("3.")
    assert entry == {
        "loader_module": "theirs.loader",
        "data": "data",
        "env": {"conda": "conda.yaml"},
        "config": {"a": 1},
        "own": 2,
    }
