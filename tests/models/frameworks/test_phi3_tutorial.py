"""The tutorial that logs a Phi-3 and asks it, in both of its ways, with a tiny one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import headrace
from headrace.client.model_loading import load_pyfunc, local_model
from headrace.models.model import ModelInfo
from tests.fixtures.tiny_language import ANSWERS, conversation, tiny_phi3
from tests.serving.served import ServingLauncher, serving_launcher

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
GREEDY = {"max_new_tokens": 40, "do_sample": False}
QUESTION, ANSWER = next(iter(ANSWERS.items()))


def prompt(question: str) -> str:
    return f"<|user|>\n{question}<|end|>\n<|assistant|>\n"


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(autouse=True)
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEADRACE_TRACKING_URI", f"sqlite:///{tmp_path}/headrace.db")


@pytest.fixture
def serving_process(tmp_path: Path) -> Iterator[ServingLauncher]:
    with serving_launcher(tmp_path) as servers:
        yield servers


def test_a_pipeline_is_logged_and_asked(phi3: Path) -> None:
    pipeline = transformers.pipeline(task="text-generation", model=str(phi3))
    with headrace.start_run():
        info = headrace.transformers.log_model(
            transformers_model=pipeline,
            artifact_path="phi3-mlflow-model",
            model_config=GREEDY,
            task="llm/v1/chat",
        )
    assert info.signature is not None
    assert "transformers" in info.flavors
    loaded = load_pyfunc(info.model_uri)
    for question, answer in ANSWERS.items():
        response = loaded.predict(conversation(question))
        assert response[0]["choices"][0]["message"]["content"] == answer
    checkpoint = headrace.transformers.log_model(str(phi3), name="checkpoint", task="llm/v1/chat")
    again = headrace.transformers.load_model(checkpoint.model_uri)
    assert type(again).__name__ == "TextGenerationPipeline"


def phi3_model() -> Any:
    """The tutorial's wrapper, whose options are made once and which answers with one text.

    Made in a function, so that its class goes with the pickle as one of a notebook does.
    """

    class Phi3Model(headrace.pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            import onnxruntime_genai as og

            self.model = og.Model(context.artifacts["phi3-mini-onnx"])
            self.params = og.GeneratorParams(self.model)
            self.params.set_search_options(max_length=80, temperature=0.2, do_sample=False)
            self.tokenizer = og.Tokenizer(self.model)

        def predict(self, context: Any, model_input: Any) -> str:
            import onnxruntime_genai as og

            tokens = self.tokenizer.encode(model_input["prompt"][0])
            generator = og.Generator(self.model, self.params)
            generator.append_tokens(tokens)
            while not generator.is_done():
                generator.generate_next_token()
            return str(self.tokenizer.decode(generator.get_sequence(0)[len(tokens) :]))

    return Phi3Model()


@pytest.fixture(scope="module", params=["int4", "fp32"])
def built(
    phi3: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The folder that the builder makes (some seconds)."""
    pytest.importorskip("onnxruntime_genai")
    made = tmp_path_factory.mktemp("onnx") / str(request.param)
    builder = "onnxruntime_genai.models.builder"
    kind = ["-p", str(request.param), "-e", "cpu"]
    command = [sys.executable, "-m", builder, "-i", str(phi3), "-o", str(made), *kind]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    return made


@pytest.fixture
def wrapper(built: Path) -> ModelInfo:
    input_example = {"prompt": prompt("What is MLflow?")}
    with headrace.start_run():
        return headrace.pyfunc.log_model(
            artifact_path="phi3-mini-onnx",
            python_model=phi3_model(),
            artifacts={"phi3-mini-onnx": str(built)},
            input_example=input_example,
            signature=headrace.models.infer_signature(input_example, ["Run"]),
            extra_pip_requirements=["torch", "onnxruntime_genai", "numpy"],
        )


def test_a_wrapper_is_logged_and_asked(wrapper: ModelInfo, built: Path) -> None:
    loaded = load_pyfunc(wrapper.model_uri)
    for question, answer in ANSWERS.items():
        assert loaded.predict({"prompt": prompt(question)}) == answer
    model = yaml.safe_load((local_model(wrapper.model_uri) / "MLmodel").read_text())
    assert model["flavors"]["python_function"]["artifacts"] == {
        "phi3-mini-onnx": {"path": f"artifacts/{built.name}", "uri": str(built)}
    }
    assert json.loads(model["signature"]["inputs"]) == [
        {"type": "string", "name": "prompt", "required": True}
    ]
    assert json.loads(model["signature"]["outputs"]) == [{"type": "string", "required": True}]


def test_a_wrapper_that_gives_one_text_is_served(
    wrapper: ModelInfo, serving_process: ServingLauncher
) -> None:
    server = serving_process(str(local_model(wrapper.model_uri)))
    for question, answer in ANSWERS.items():
        for body in (
            {"inputs": {"prompt": prompt(question)}},
            {"dataframe_split": {"columns": ["prompt"], "data": [[prompt(question)]]}},
        ):
            answered = server.ask(json.dumps(body).encode())
            assert answered.json() == {"predictions": answer}, server.log


def test_it_needs_mlflow_no_more_than_it_says(wrapper: ModelInfo) -> None:
    from headrace.models.environment.wanted import wanted_by

    wanted = wanted_by(local_model(wrapper.model_uri)).requirements
    assert not [line for line in wanted if line.startswith("mlflow")]
    assert {"torch", "onnxruntime_genai", "numpy"} <= {line.partition("==")[0] for line in wanted}


def test_a_pipeline_is_served(phi3: Path, serving_process: ServingLauncher) -> None:
    info = headrace.transformers.log_model(
        str(phi3), name="phi3", model_config=GREEDY, task="llm/v1/chat"
    )
    server = serving_process(str(local_model(info.model_uri)))
    answered = server.ask(json.dumps(conversation(QUESTION)).encode())
    assert answered.status == 200, server.log
    assert answered.json()["choices"][0]["message"]["content"] == ANSWER
