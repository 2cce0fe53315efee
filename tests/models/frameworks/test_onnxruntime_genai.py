"""Models for ONNX Runtime GenAI: made by its builder, saved here, loaded here and by MLflow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headrace.onnxruntime_genai as door
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavor import flavor_of
from headrace.models.flavors.onnxruntime_genai_engine import penalize
from headrace.models.flavors.openai_requests import Sampling
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import ANSWERS, conversation, tiny_phi3

pytest.importorskip("onnxruntime_genai")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.heavy,
    # MLflow's own, and those of the libraries that it calls in an older way.
    pytest.mark.filterwarnings("ignore"),
]
GREEDY = {"do_sample": False, "max_new_tokens": 40}
QUESTION, ANSWER = next(iter(ANSWERS.items()))


def _prompt(question: str) -> str:
    return f"<|user|>\n{question}<|end|>\n<|assistant|>\n"


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(scope="module")
def built(phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the builder makes of the tiny Phi-3 (some seconds)."""
    made = tmp_path_factory.mktemp("genai") / "tiny-phi3-genai"
    builder = "onnxruntime_genai.models.builder"
    kind = ["-p", "int4", "-e", "cpu"]
    command = [sys.executable, "-m", builder, "-i", str(phi3), "-o", str(made), *kind]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    return made


@pytest.fixture(scope="module")
def saved(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for name, task in (("chat", "llm/v1/chat"), ("prompts", None)):
        door.save_model(str(built), folder / name, task=task, model_config=GREEDY)
    return folder


def test_a_folder_of_the_builder_is_its_own(built: Path, tmp_path: Path) -> None:
    assert flavor_of(str(built)).name == "onnxruntime_genai"
    with pytest.raises(InvalidRequest, match=r"genai_config\.json"):
        door.save_model(str(tmp_path), tmp_path / "m")
    with pytest.raises(InvalidRequest, match="llm/v1/embeddings"):
        door.save_model(str(built), tmp_path / "m", task="llm/v1/embeddings")


def test_its_tokens_are_those_of_pytorch(phi3: Path, saved: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(phi3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(phi3)
    native = door.load_model(str(saved / "prompts"))
    for question in ANSWERS:
        ids = tokenizer(_prompt(question), return_tensors="pt")
        made = model.generate(**ids, do_sample=False, max_new_tokens=40)[0]
        expected = made[ids["input_ids"].shape[1] :].tolist()
        found = native.generate(_prompt(question), Sampling(max_tokens=40, temperature=0))
        assert native.tokenizer.encode(_prompt(question)).tolist() == ids["input_ids"][0].tolist()
        assert found.completions[0].tokens == len(expected)
        assert found.completions[0].text == tokenizer.decode(expected, skip_special_tokens=True)


def test_the_native_object_has_both_parts_and_can_be_saved_again(
    saved: Path, built: Path, tmp_path: Path
) -> None:
    native = door.load_model(str(saved / "prompts"), provider="cpu")
    assert type(native.model).__name__ == "Model"
    assert native.context_length == 256
    door.save_model(native, tmp_path / "again")
    again, before = (each / "model.onnx.data" for each in (tmp_path / "again" / "model", built))
    assert again.read_bytes() == before.read_bytes()
    with pytest.raises(InvalidRequest, match="execution provider"):
        door.load_model(str(saved / "prompts"), provider="/tmp/evil.so")


def test_answers_go_on_beyond_the_window_that_the_builder_writes(
    built: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(built, tmp_path / "windowed")
    config = json.loads((source / "genai_config.json").read_text())
    # As the builder writes it for a model whose config.json has a sliding_window, such as Phi-3's;
    # the graph stays the same.
    config["model"]["decoder"]["sliding_window"] = {
        "window_size": 9,
        "slide_key_value_cache": False,
        "slide_inputs": False,
        "layers": [],
        "cache_slack": 0,
    }
    (source / "genai_config.json").write_text(json.dumps(config))
    door.save_model(str(source), tmp_path / "m", model_config=GREEDY)
    long = [f"{_prompt(QUESTION)}{ANSWER}<|end|>\n{_prompt(question)}" for question in ANSWERS]
    door.save_model(str(built), tmp_path / "plain", model_config=GREEDY)
    expected = load_pyfunc(tmp_path / "plain").predict(long)
    assert load_pyfunc(tmp_path / "m").predict(long) == expected


@pytest.mark.parametrize(
    "data",
    [
        _prompt(QUESTION),
        [_prompt(QUESTION)] * 2,
        pd.DataFrame({"prompt": [_prompt(QUESTION)]}),
        {"prompt": _prompt(QUESTION)},
    ],
)
def test_prompts_are_answered_the_same_in_mlflow(saved: Path, data: Any) -> None:
    mlflow_pyfunc = pytest.importorskip("mlflow.pyfunc")
    ours = load_pyfunc(saved / "prompts").predict(data)
    assert set(ours) == {ANSWER}
    assert ours == mlflow_pyfunc.load_model(str(saved / "prompts")).predict(data)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_tokens": 3},
        {"stop": ["Paris"], "n": 2},
        {"temperature": 1.5, "top_p": 0.9, "top_k": 20, "custom_inputs": {"seed": 3}},
        {"frequency_penalty": 1.0, "presence_penalty": 0.5},
    ],
)
def test_chats_are_answered_the_same_in_mlflow(saved: Path, more: dict[str, Any]) -> None:
    mlflow_pyfunc = pytest.importorskip("mlflow.pyfunc")
    request = conversation(QUESTION, **more)
    (ours,) = load_pyfunc(saved / "chat").predict(request)
    (theirs,) = mlflow_pyfunc.load_model(str(saved / "chat")).predict(request)
    assert ours["choices"] == theirs["choices"]
    assert ours["usage"] == theirs["usage"]
    assert ours["model"] == theirs["model"] == "tiny-phi3-genai"


@pytest.mark.parametrize(
    ("more", "content", "reason"),
    [
        ({}, ANSWER, "stop"),
        ({"max_tokens": 3}, "The capital of", "length"),
        ({"stop": ["Paris"]}, "The capital of France is ", "stop"),
        ({"temperature": 0.0}, ANSWER, "stop"),
    ],
)
def test_requests_are_followed(
    saved: Path, more: dict[str, Any], content: str, reason: str
) -> None:
    loaded = load_pyfunc(saved / "chat")
    (answer,) = loaded.predict(conversation(QUESTION, **more))
    assert answer["choices"][0]["message"]["content"] == content
    assert answer["choices"][0]["finish_reason"] == reason
    chunks = [each["choices"][0] for each in loaded.predict_stream(conversation(QUESTION, **more))]
    assert "".join(each["delta"].get("content", "") for each in chunks) == content
    assert chunks[-1]["finish_reason"] == reason


def test_seeds_repeat_and_answers_differ(saved: Path) -> None:
    loaded = load_pyfunc(saved / "chat")
    wild = conversation("?", n=3, temperature=5.0, max_tokens=8, custom_inputs={"seed": 3})
    (one,), (same,) = loaded.predict(wild), loaded.predict(wild)
    assert one["choices"] == same["choices"]
    assert len({each["message"]["content"] for each in one["choices"]}) > 1


def test_penalties_are_taken_from_the_logits_of_what_was_said(saved: Path) -> None:
    import onnxruntime_genai as og

    native = door.load_model(str(saved / "prompts"))
    params = og.GeneratorParams(native.model)
    generator = og.Generator(native.model, params)
    generator.append_tokens(native.tokenizer.encode("hello"))
    before = generator.get_logits().copy()
    penalize(generator, {7: 2, 9: 1}, Sampling(frequency_penalty=1.5, presence_penalty=0.5))
    taken = (before - generator.get_logits()).reshape(-1)
    assert taken[7] == pytest.approx(3.5, abs=1e-4)
    assert taken[9] == pytest.approx(2.0, abs=1e-4)
    assert abs(taken).sum() == pytest.approx(5.5, abs=1e-3)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"messages": []}, "at least one message"),
        (conversation("long " * 300), "prompt has .* tokens"),
        (conversation("x", top_p=3.0), "top_p"),
    ],
)
def test_a_wrong_request_is_refused(saved: Path, request_: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        load_pyfunc(saved / "chat").predict(request_)


def test_a_configuration_that_it_does_not_know_is_refused(saved: Path) -> None:
    with pytest.raises(InvalidRequest, match="beams_of_light"):
        load_pyfunc(saved / "chat", {"beams_of_light": 3})


def test_the_script_for_mlflow_is_never_run_here(built: Path, tmp_path: Path) -> None:
    door.save_model(str(built), tmp_path / "m", model_config=GREEDY)
    marker = tmp_path / "code-has-run"
    script = tmp_path / "m" / "genai_model.py"
    script.write_text(f"open({str(marker)!r}, 'w')\n{script.read_text()}")
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    assert load_pyfunc(tmp_path / "m").predict(_prompt(QUESTION)) == [ANSWER]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"filename": "../model.onnx"}, InvalidModel, "not in its folder"),
        ({"filename": "/etc/passwd"}, InvalidModel, "not in its folder"),
        (
            {"session_options": {"custom_ops_library": "/tmp/evil.so"}},
            NotTrusted,
            r"custom_ops_library.*headrace trust",
        ),
        (
            {"session_options": {"provider_options": [{"QNN": {"backend_path": "evil"}}]}},
            NotTrusted,
            "genai_config.*trust=True",
        ),
    ],
)
def test_a_hostile_configuration_loads_nothing(
    built: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    door.save_model(str(built), tmp_path / "m")
    config = tmp_path / "m" / "model" / "genai_config.json"
    described = json.loads(config.read_text())
    described["model"]["decoder"].update(change)
    config.write_text(json.dumps(described))
    with pytest.raises(InvalidModel, match="has been changed"):
        load_pyfunc(tmp_path / "m")
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    with pytest.raises(error, match=words):
        load_pyfunc(tmp_path / "m")


def test_its_mlmodel_names_nothing_of_headrace(saved: Path) -> None:
    described = Model.load(saved / "chat")
    assert described.flavors["python_function"]["loader_module"] == (
        "mlflow.pyfunc.loaders.code_model"
    )
    assert described.metadata == {"task": "llm/v1/chat"}
    requirements = (saved / "chat" / "requirements.txt").read_text()
    assert "onnxruntime-genai==" in requirements
    assert "headrace" not in requirements
