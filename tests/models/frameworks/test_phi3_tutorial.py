"""The tutorial that logs a Phi-3 and asks it, in its first way, with a tiny model of the kind."""

from __future__ import annotations

from pathlib import Path

import pytest

import headrace
from headrace.client.model_loading import load_pyfunc
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]


def test_a_pipeline_is_logged_and_asked(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEADRACE_TRACKING_URI", f"sqlite:///{tmp_path}/headrace.db")
    pipeline = transformers.pipeline(task="text-generation", model=str(folder))
    with headrace.start_run():
        info = headrace.transformers.log_model(
            transformers_model=pipeline,
            artifact_path="phi3-mlflow-model",
            model_config={"max_new_tokens": 40, "do_sample": False},
            task="llm/v1/chat",
        )
    assert info.signature is not None
    assert "transformers" in info.flavors
    loaded = load_pyfunc(info.model_uri)
    for question, answer in ANSWERS.items():
        request = {"messages": [{"role": "user", "content": question}]}
        response = loaded.predict(request)
        assert response[0]["choices"][0]["message"]["content"] == answer
    checkpoint = headrace.transformers.log_model(str(folder), name="checkpoint", task="llm/v1/chat")
    again = headrace.transformers.load_model(checkpoint.model_uri)
    assert type(again).__name__ == "TextGenerationPipeline"
