"""Models of transformers with an adapter (PEFT): saved without the model that they adapt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import headrace.transformers as door
from headrace.errors import InvalidRequest, NotTrusted
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
GREEDY = {"do_sample": False, "max_new_tokens": 12}
PROMPTS = [f"<|user|>\n{question}<|end|>\n<|assistant|>\n" for question in ANSWERS]


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture
def adapted(base: Path) -> dict[str, Any]:
    """The components of a model whose adapter changes what it says."""
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=4, target_modules=["qkv_proj"], task_type="CAUSAL_LM")
    found = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weights in found.named_parameters():
            if "lora_B" in name:
                weights.fill_(0.5)
    return {"model": found, "tokenizer": transformers.AutoTokenizer.from_pretrained(base)}


def test_saved_by_both_it_predicts_the_same_in_both(
    adapted: dict[str, Any], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_pyfunc = pytest.importorskip("mlflow.pyfunc")
    mlflow_transformers = pytest.importorskip("mlflow.transformers")
    how: dict[str, Any] = {
        "task": "text-generation",
        "base_model_path": str(base),
        "model_config": GREEDY,
        "pip_requirements": ["peft"],
    }
    door.save_model(adapted, tmp_path / "ours", **how)
    mlflow_transformers.save_model(adapted, str(tmp_path / "theirs"), **how)
    expected = mlflow_pyfunc.load_model(str(tmp_path / "theirs")).predict(PROMPTS)
    assert [each.rpartition("\n")[2] for each in expected] != list(ANSWERS.values())
    assert load_pyfunc(tmp_path / "ours").predict(PROMPTS) == expected
    assert mlflow_pyfunc.load_model(str(tmp_path / "ours")).predict(PROMPTS) == expected
    found = load_pyfunc(tmp_path / "theirs", base_model_path=str(base))
    assert found.predict(PROMPTS) == expected
    assert not (tmp_path / "ours" / "model").exists()
    ours, theirs = (Model.load(tmp_path / each).flavors for each in ("ours", "theirs"))
    assert ours["transformers"] == theirs["transformers"]


def test_where_its_model_lies_has_to_be_said(
    adapted: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="base_model_path=, or merge both"):
        door.save_model(adapted, tmp_path / "m", task="text-generation")
    with pytest.raises(InvalidRequest, match="'/nowhere'"):
        door.save_model(adapted, tmp_path / "m", task="text-generation", base_model_path="/nowhere")
    with pytest.raises(InvalidRequest, match="adapter"):
        door.save_model(
            transformers.pipeline("text-generation", model=str(base)),
            tmp_path / "m",
            base_model_path=str(base),
        )
    assert not list(tmp_path.iterdir())


def test_an_adapter_that_imports_is_refused(
    adapted: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "code-has-run"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w')")
    door.save_model(adapted, tmp_path / "m", task="text-generation", base_model_path=str(base))
    config = tmp_path / "m" / "peft" / "adapter_config.json"
    described = json.loads(config.read_text())
    described |= {"megatron_config": {"a": 1}, "megatron_core": "evil_module"}
    config.write_text(json.dumps(described))
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    with pytest.raises(NotTrusted, match=r"adapter_config\.json.*megatron_config"):
        door.load_model(str(tmp_path / "m"), base_model_path=str(base))
    described |= {"megatron_config": None, "peft_type": "SONGS"}
    config.write_text(json.dumps(described))
    with pytest.raises(NotTrusted, match=r"of the kind 'SONGS'"):
        door.load_model(str(tmp_path / "m"), base_model_path=str(base))
    described["peft_type"] = "LORA"
    (tmp_path / "m" / "peft" / "adapter_model.safetensors").unlink()
    (tmp_path / "m" / "peft" / "adapter_model.bin").write_bytes(b"a pickle")
    config.write_text(json.dumps(described))
    with pytest.raises(NotTrusted, match=r"no safetensors"):
        door.load_model(str(tmp_path / "m"), base_model_path=str(base))
    assert not marker.exists()
