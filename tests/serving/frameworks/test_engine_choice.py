"""Each engine that can serve a model gives the same answers; the others say why they cannot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import pyfunc
from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import Sampling
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.engines.base import Generation
from headrace.serving.engines.choice import engine_for
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.predicted import PredictedEngine
from headrace.testing.generation import told_of
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")
pytest.importorskip("onnx")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(scope="module", params=["transformers", "onnxruntime"])
def model(
    request: pytest.FixtureRequest, phi3: Path, tmp_path_factory: pytest.TempPathFactory
) -> PyFuncModel:
    """The tiny Phi-3 in each flavor, for chats."""
    folder = tmp_path_factory.mktemp("models") / request.param
    if request.param == "transformers":
        import headrace.transformers as flavor

        pipeline: Any = transformers.pipeline("text-generation", model=str(phi3), device="cpu")
        flavor.save_model(pipeline, folder, task="llm/v1/chat")
    else:
        import headrace.onnxruntime_genai as other

        made = tmp_path_factory.mktemp("genai") / "tiny-phi3"
        builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
        command = [*builder, "-i", str(phi3), "-o", str(made), "-p", "fp32", "-e", "cpu"]
        subprocess.run(command, check=True, capture_output=True, timeout=110)
        other.save_model(made, folder, task="llm/v1/chat")
    found: PyFuncModel = pyfunc.load_model(str(folder))
    return found


def own_engine(model: PyFuncModel) -> str:
    return "transformers" if "transformers" in model.metadata.flavors else "onnxruntime"


@pytest.mark.parametrize("name", ["auto", "own", "plain"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_all_that_can_serve_it_answer_alike(
    model: PyFuncModel, name: str, is_streamed: bool
) -> None:
    chosen = own_engine(model) if name == "own" else name
    engine = engine_for(model, chosen, slots=3, threads=1)
    assert isinstance(engine, PredictedEngine if name == "plain" else ContinuousLoop)
    sampling = Sampling(max_tokens=40, temperature=0.0)
    told = told_of(
        engine,
        (
            Generation(key, sampling, [{"role": "user", "content": q}], is_streamed=is_streamed)
            for key, q in enumerate(ANSWERS)
        ),
    )
    assert [told[key].answer()[:2] for key in told] == [(a, "stop") for a in ANSWERS.values()]
    if name == "plain":
        with_stop = Sampling(max_tokens=40, temperature=0.0, stop=("Paris",))
        messages = [{"role": "user", "content": next(iter(ANSWERS))}]
        (cut,) = told_of(
            engine, [Generation(1, with_stop, messages, is_streamed=is_streamed)]
        ).values()
        assert cut.text() == "The capital of France is "


def test_engines_of_other_models_say_so(model: PyFuncModel) -> None:
    own = own_engine(model)
    other = "onnxruntime" if own == "transformers" else "transformers"
    with pytest.raises(InvalidRequest, match="Leave the engine to 'auto'"):
        engine_for(model, other, slots=2)
    if own == "transformers" and importlib.util.find_spec("vllm") is None:
        with pytest.raises(InvalidRequest, match="pip install vllm"):
            engine_for(model, "vllm", slots=2)
