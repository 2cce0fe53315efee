"""Folders that would have transformers run code: none does, unless its signer is trusted."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

import headrace.transformers as door
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import conversation, tiny_phi3

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
BOTH_WAYS_OUT = r"trust=True.*headrace trust"


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that is there when code has run."""
    return tmp_path / "code-has-run"


@pytest.fixture
def saved(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model that nobody has signed."""
    source = tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")
    door.save_model(
        str(source),
        tmp_path / "m",
        task="llm/v1/chat",
        model_config={"do_sample": False, "max_new_tokens": 5},
    )
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    return tmp_path / "m"


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def _facts(saved: Path, flavor: str = "transformers", **values: Any) -> None:
    described = Model.load(saved)
    described.flavors[flavor].update(values)
    described.save(saved / "MLmodel")


def _own_code(folder: Path, marker: Path) -> None:
    code = (
        f"open({str(marker)!r}, 'w')\n"
        "from transformers import Phi3ForCausalLM, PreTrainedTokenizerFast\n"
        "class Own(Phi3ForCausalLM):\n    pass\n"
        "class OwnTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    (folder / "own.py").write_text(code)


def test_a_pickle_is_not_read(saved: Path, marker: Path) -> None:
    (saved / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Marks(marker)))
    load_pyfunc(saved)  # there are weights in safetensors, too
    (saved / "model" / "model.safetensors").unlink()
    with pytest.raises(NotTrusted, match=rf"pytorch_model\.bin.*{BOTH_WAYS_OUT}"):
        load_pyfunc(saved)
    with pytest.raises(NotTrusted, match=r"pytorch_model\.bin"):
        door.load_model(str(saved))
    assert not marker.exists()


def test_code_that_is_only_on_offer_is_not_run(saved: Path, marker: Path) -> None:
    _own_code(saved / "model", marker)
    _own_code(saved / "components" / "tokenizer", marker)
    _change(saved / "model" / "config.json", auto_map={"AutoModelForCausalLM": "own.Own"})
    tokenizer = saved / "components" / "tokenizer" / "tokenizer_config.json"
    _change(tokenizer, auto_map={"AutoTokenizer": ["own.OwnTokenizer", None]})
    generate = saved / "model" / "custom_generate"
    generate.mkdir()
    (generate / "generate.py").write_text(f"open({str(marker)!r}, 'w')")
    assert load_pyfunc(saved).predict(conversation("hello"))
    assert not marker.exists()


def test_a_model_of_its_own_code_is_refused_and_runs_with_trust(saved: Path, marker: Path) -> None:
    _own_code(saved / "model", marker)
    _change(saved / "model" / "config.json", auto_map={"AutoModelForCausalLM": "own.Own"})
    _facts(saved, pipeline_model_type="Own")
    with pytest.raises(NotTrusted, match=rf"model/config\.json.*'Own'.*{BOTH_WAYS_OUT}"):
        load_pyfunc(saved)
    assert not marker.exists()
    assert load_pyfunc(saved, trust=True).predict(conversation("hello"))
    assert marker.exists()


def test_a_tokenizer_of_its_own_code_is_refused(saved: Path, marker: Path) -> None:
    folder = saved / "components" / "tokenizer"
    _own_code(folder, marker)
    auto_map = {"AutoTokenizer": ["own.OwnTokenizer", "own.OwnTokenizer"]}
    _change(folder / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="OwnTokenizer")
    _facts(saved, tokenizer_type="OwnTokenizer")
    with pytest.raises(NotTrusted, match=rf"tokenizer_config\.json.*{BOTH_WAYS_OUT}"):
        load_pyfunc(saved)
    assert not marker.exists()


@pytest.mark.parametrize(
    "facts",
    [
        {"pipeline_model_type": "pipeline"},
        {"pipeline_model_type": "AutoModelForCausalLM"},
        {"pipeline_model_type": "os.system"},
        {"pipeline_model_type": "Trainer"},
        {"pipeline_model_type": "GPT2Tokenizer"},
    ],
)
def test_only_classes_of_models_are_models(saved: Path, facts: dict[str, Any]) -> None:
    _facts(saved, **facts)
    with pytest.raises(NotTrusted, match="transformers does not have"):
        load_pyfunc(saved)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"model_binary": "../elsewhere"}, "elsewhere"),
        ({"model_binary": "/etc"}, "etc"),
        ({"components": ["model"]}, "components"),
        ({"components": "tokenizer"}, "components"),
        ({"components": ["os"]}, "components"),
        ({"torch_dtype": "torch.os"}, "torch.os"),
        ({"task": "__class__"}, "__class__"),
        ({"task": "image-to-nothing"}, "image-to-nothing"),
    ],
)
def test_facts_that_are_wrong_are_said_to_be(
    saved: Path, facts: dict[str, Any], words: str
) -> None:
    _facts(saved, **facts)
    with pytest.raises(InvalidRequest, match=words):
        load_pyfunc(saved)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_attn_implementation": "somebody/kernel"}, "compiled code"),
        ({"quantization_config": {"quant_method": "quark"}}, "quantized"),
        ({"transformers_weights": "adapter_model.bin"}, "no safetensors"),
    ],
)
def test_a_configuration_that_asks_for_code_is_refused(
    saved: Path, config: dict[str, Any], words: str
) -> None:
    _change(saved / "model" / "config.json", **config)
    with pytest.raises(NotTrusted, match=words):
        load_pyfunc(saved)


def test_an_adapter_does_not_fetch_its_model(saved: Path) -> None:
    adapter = {"base_model_name_or_path": "somebody/model", "peft_type": "LORA"}
    (saved / "model" / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(NotTrusted, match="somebody/model"):
        load_pyfunc(saved)


def test_a_model_elsewhere_is_not_loaded_on_the_model_s_word(saved: Path) -> None:
    _facts(saved, local_base_model_path=str(saved / "model"))
    with pytest.raises(NotTrusted, match="another model"):
        load_pyfunc(saved)
    found = door.load_model(str(saved), base_model_path=str(saved / "model"))
    assert type(found.model).__name__ == "Phi3ForCausalLM"


@pytest.mark.parametrize("option", ["custom_generate", "trust_remote_code"])
def test_what_would_run_code_at_a_call_is_refused(saved: Path, marker: Path, option: str) -> None:
    generate = saved / "model" / "custom_generate"
    generate.mkdir()
    (generate / "generate.py").write_text(f"open({str(marker)!r}, 'w')")
    _facts(saved, "python_function", config={option: str(saved / "model")})
    with pytest.raises(InvalidRequest, match=option):
        load_pyfunc(saved)
    assert not marker.exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('touch MARKER').read() }}",
        "{{ raise_exception.__globals__['__builtins__']['open']('MARKER', 'w') }}",
        "{% set _ = messages.append(1) %}x",
        "{{ '%c' % 0 | attr('__class__') }}{{ lipsum.__globals__['os'].system('touch MARKER') }}",
        "{{ messages",
    ],
)
def test_a_chat_template_reaches_nothing(saved: Path, marker: Path, template: str) -> None:
    file = saved / "components" / "tokenizer" / "chat_template.jinja"
    file.write_text(template.replace("MARKER", str(marker)))
    loaded = load_pyfunc(saved)
    with pytest.raises(InvalidRequest, match="chat template"):
        loaded.predict(conversation("hello"))
    assert not marker.exists()


def test_a_prompt_template_is_text(saved: Path, tmp_path: Path) -> None:
    from headrace.models.flavors.transformers_predicting import PipelinePredictor

    pipeline = door.load_model(str(saved))
    config = {"do_sample": False, "max_new_tokens": 1}
    template = "{prompt.__class__} {prompt}"
    (found,) = PipelinePredictor(pipeline, "text-generation", config, template).predict("hello")
    assert found.startswith("{prompt.__class__} hello")


def test_a_swapped_file_is_found(tmp_path: Path, saved: Path, marker: Path) -> None:
    from headrace.models.trust import sign_folder

    sign_folder(saved)
    _own_code(saved / "model", marker)
    load_pyfunc(saved)  # it is no part of what was signed
    _change(saved / "model" / "config.json", auto_map={"AutoModelForCausalLM": "own.Own"})
    with pytest.raises(InvalidModel, match=r"config\.json.*has been changed"):
        load_pyfunc(saved)
    assert not marker.exists()
