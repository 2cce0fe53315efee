"""Models in Python where both Headrace and MLflow are installed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headrace.pyfunc
from headrace.errors import InvalidRequest, NotTrusted
from headrace.models.model import Model
from headrace.models.signature import infer_signature

pytest.importorskip("mlflow.models")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import mlflow
    import mlflow.openai
    import mlflow.pyfunc

pytestmark = [
    pytest.mark.heavy,
    # MLflow's advice for models, and what it says of itself:
    pytest.mark.filterwarnings("ignore:.*type hints.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AGENT = """
import {library}
from {library}.models import ModelConfig, set_model

factor = ModelConfig(development_config={{"factor": 1}}).get("factor")

class Agent({library}.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [row * factor for row in model_input]

set_model(Agent())
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    yield
    logging.getLogger("mlflow").setLevel(logging.NOTSET)


# MLflow saves no class but its own.
@pytest.mark.parametrize(
    ("library", "saver"), [("mlflow", "mlflow"), ("mlflow", "headrace"), ("headrace", "headrace")]
)
def test_scripts_of_either_library_run_in_both(tmp_path: Path, library: str, saver: str) -> None:
    script = tmp_path / "agent.py"
    script.write_text(AGENT.format(library=library))
    save = (mlflow if saver == "mlflow" else headrace).pyfunc.save_model
    arguments = {"model_config": {"factor": 3}, "pip_requirements": ["cloudpickle"]}
    save(str(tmp_path / "m"), python_model=str(script), **arguments)
    ours = headrace.pyfunc.load_model(str(tmp_path / "m"), trust=True, model_config={"factor": 4})
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "m"), model_config={"factor": 4})
    assert ours.predict([1, 2]) == theirs.predict([1, 2]) == [4, 8]
    assert mlflow.models.model.__mlflow_model__ is not ours.native


def test_a_class_of_headraces_stays_one_of_headraces(tmp_path: Path) -> None:
    class Own(headrace.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input

    headrace.pyfunc.save_model(tmp_path / "m", python_model=Own())
    loaded = headrace.pyfunc.load_model(str(tmp_path / "m"))
    assert isinstance(loaded.unwrap_python_model(), headrace.pyfunc.PythonModel)
    assert mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(1) == 1


def test_a_class_of_mlflows_is_saved_here(tmp_path: Path) -> None:
    class Theirs(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # it has no types
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input * 2

    frame = pd.DataFrame({"a": [1.0]})
    headrace.pyfunc.save_model(tmp_path / "m", python_model=Theirs(), input_example=frame)
    for library in (headrace, mlflow):
        model = library.pyfunc.load_model(str(tmp_path / "m"))
        assert model.predict(frame)["a"].tolist() == [2.0]
        assert isinstance(model.unwrap_python_model(), mlflow.pyfunc.PythonModel)


def test_mlflows_agents_load_by_mlflow_when_trusted(tmp_path: Path) -> None:
    script = tmp_path / "chat.py"
    script.write_text(
        """
import mlflow
from mlflow.types.llm import ChatCompletionResponse, ChatChoice, ChatMessage

class Echo(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        message = ChatMessage(role="assistant", content=messages[-1].content)
        return ChatCompletionResponse(choices=[ChatChoice(index=0, message=message)])

mlflow.models.set_model(Echo())
"""
    )
    requirements = {"pip_requirements": ["cloudpickle"]}
    mlflow.pyfunc.save_model(str(tmp_path / "m"), python_model=str(script), **requirements)
    with pytest.raises(NotTrusted, match=r"chat\.py"):
        headrace.pyfunc.load_model(str(tmp_path / "m"))
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    ours = headrace.pyfunc.load_model(str(tmp_path / "m"), trust=True).predict(asked)
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(asked)
    assert ours["choices"] == theirs["choices"]
    assert ours["choices"][0]["message"]["content"] == "hello"
    with pytest.raises(InvalidRequest, match="agents"):
        headrace.pyfunc.save_model(tmp_path / "n", python_model=script)


def test_flavors_that_only_mlflow_has_load_by_mlflow_when_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none is needed to load it")
    mlflow.openai.save_model(
        "gpt-4o-mini",
        "chat.completions",
        str(tmp_path / "m"),
        messages=[{"role": "user", "content": "Hello"}],
        pip_requirements=["openai"],
    )
    with pytest.raises(NotTrusted, match=r"mlflow\.openai"):
        headrace.pyfunc.load_model(str(tmp_path / "m"))
    model = headrace.pyfunc.load_model(str(tmp_path / "m"), trust=True)
    assert type(model.native).__module__.startswith("mlflow.openai")
    assert model.loader_module == "mlflow.openai"


def test_the_wrapper_of_the_phi3_tutorial_works_as_written(tmp_path: Path) -> None:
    """Way 2: a class over a folder of files, here read by a stand-in that spells backwards."""
    folder = tmp_path / "phi3-mini-onnx"
    folder.mkdir()
    (folder / "genai_config.json").write_text('{"model": {"context_length": 64}}')
    (folder / "model.onnx.data").write_bytes(bytes(range(256)) * 4096)

    class Phi3Model(headrace.pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            import json
            import threading

            files = Path(context.artifacts["phi3-mini-onnx"])
            self.length = json.loads((files / "genai_config.json").read_text())["model"]
            self.weights = len((files / "model.onnx.data").read_bytes())
            self.lock = threading.Lock()  # as an engine: it can't be pickled

        def predict(self, context: Any, model_input: Any) -> Any:
            prompt = model_input["prompt"][0]
            with self.lock:
                return prompt[::-1][: self.length["context_length"]] + str(self.weights)

    input_example = {"prompt": "<|system|>You are a stand-in.<|end|><|user|>Hi<|end|>"}
    signature = infer_signature(input_example, ["Run"])
    assert signature.to_dict() == mlflow.models.infer_signature(input_example, ["Run"]).to_dict()
    headrace.pyfunc.save_model(
        tmp_path / "m",
        python_model=Phi3Model(),
        artifacts={"phi3-mini-onnx": str(folder)},
        input_example=input_example,
        signature=signature,
        extra_pip_requirements=["torch", "onnxruntime_genai", "numpy"],
    )
    expected = input_example["prompt"][::-1][:64] + str(256 * 4096)
    for loaded in (
        headrace.pyfunc.load_model(str(tmp_path / "m")),
        mlflow.pyfunc.load_model(str(tmp_path / "m")),
    ):
        assert loaded.predict(input_example) == expected
    requirements = (tmp_path / "m" / "requirements.txt").read_text()
    assert {"torch", "onnxruntime_genai", "numpy"} <= set(requirements.split())
    entry = Model.load(tmp_path / "m").flavors["python_function"]
    assert entry["artifacts"]["phi3-mini-onnx"]["path"] == "artifacts/phi3-mini-onnx"
