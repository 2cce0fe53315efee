"""What an independent reviewer tried on the formats of large libraries: none of it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import HeadraceError, InvalidModel, NotTrusted
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import tiny_bert, tiny_phi3

pytest.importorskip("torch", reason="the environment of all libraries")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
BOTH_WAYS_OUT = r"trust=True.*headrace trust"


def _unsigned(folder: Path) -> Path:
    (folder / SIGNATURE_FILE).unlink()
    return folder


def _is_mapped(name: str) -> bool:
    """Whether a file of this name was opened as a library by this process."""
    return name in Path("/proc/self/maps").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Phi-3 for ONNX Runtime GenAI (some seconds)."""
    pytest.importorskip("onnxruntime_genai")
    base = tmp_path_factory.getbasetemp()
    made = tmp_path_factory.mktemp("genai") / "tiny-phi3-genai"
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    command += ["-i", str(tiny_phi3(base / "tiny-phi3")), "-o", str(made), "-p", "int4"]
    subprocess.run([*command, "-e", "cpu"], check=True, capture_output=True, timeout=110)
    return made


@pytest.fixture
def genai(built: Path, tmp_path: Path) -> Path:
    """A model for ONNX Runtime GenAI that nobody has signed, with a library called a text."""
    import headrace.onnxruntime_genai as door

    door.save_model(str(built), tmp_path / "m")
    import numpy.random.mtrand as any_library

    shutil.copyfile(any_library.__file__, tmp_path / "m" / "model" / "evil.txt")
    return _unsigned(tmp_path / "m")


def test_a_key_that_is_there_twice_is_the_one_that_was_checked(genai: Path) -> None:
    # Python takes the last of two keys; the library follows both, and opened the first's library.
    file = genai / "model" / "genai_config.json"
    plain, evil = json.loads(file.read_text()), json.loads(file.read_text())
    evil["model"]["decoder"]["session_options"]["custom_ops_library"] = "evil.txt"
    others = ", ".join(f"{json.dumps(k)}: {json.dumps(plain[k])}" for k in plain if k != "model")
    both = f'"model": {json.dumps(evil["model"])}, "model": {json.dumps(plain["model"])}'
    file.write_text(f"{{{both}, {others}}}")
    load_pyfunc(genai)
    assert not _is_mapped("evil.txt")


@pytest.mark.parametrize(
    "decoder",
    [
        {"pipeline": [{"inputs": {"session_options": {"custom_ops_library": "evil.txt"}}}]},
        {"session_options": {"provider_options": [{"cuda": {"gpu_external_alloc": "4096"}}]}},
        {"session_options": {"provider_options": [{"cuda": {"user_compute_stream": "4096"}}]}},
    ],
)
def test_no_name_of_a_part_hides_a_library(genai: Path, decoder: dict[str, Any]) -> None:
    file = genai / "model" / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["decoder"].update(decoder)
    file.write_text(json.dumps(config))
    with pytest.raises(NotTrusted, match=BOTH_WAYS_OUT):
        load_pyfunc(genai)
    assert not _is_mapped("evil.txt")


def test_a_part_named_like_tensors_reads_no_file_elsewhere(genai: Path) -> None:
    file = genai / "model" / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["decoder"]["pipeline"] = [{"outputs": {"filename": "../../other.onnx"}}]
    file.write_text(json.dumps(config))
    with pytest.raises(HeadraceError, match="not in its folder"):
        load_pyfunc(genai)


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def chat(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of transformers that nobody has signed."""
    import headrace.transformers as door

    source = tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")
    door.save_model(str(source), tmp_path / "m", task="llm/v1/chat")
    return _unsigned(tmp_path / "m")


@pytest.mark.parametrize(
    "change",
    [
        {"backbone_config": {"backbone": "local-dir:/somewhere"}},
        {"backbone": "hf-hub:somebody/something"},
        {"model_args": {"checkpoint_path": "/somewhere/evil.pth"}},
        {"model_args": {"pretrained_cfg_overlay": {"file": "/somewhere/evil.pth"}}},
    ],
)
def test_no_configuration_names_weights_elsewhere(chat: Path, change: dict[str, Any]) -> None:
    _change(chat / "model" / "config.json", **change)
    with pytest.raises(NotTrusted, match=BOTH_WAYS_OUT):
        load_pyfunc(chat)


def test_a_tokenizer_names_no_files_elsewhere(chat: Path, tmp_path: Path) -> None:
    elsewhere = {key: str(tmp_path / "secret") for key in ("source_spm", "vocab", "vocab_file")}
    _change(chat / "components" / "tokenizer" / "tokenizer_config.json", **elsewhere)
    tokenizer = load_pyfunc(chat).native.tokenizer
    assert str(tmp_path / "secret") not in str(tokenizer.init_kwargs)


def test_nobody_is_asked_whether_to_run_the_code_of_a_part(
    chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A decoder of a kind that makes no text, with code on offer: transformers would ask (15 s).
    offered = f"{tmp_path}--own.Own"
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'code-has-run')!r}, 'w')\n")
    part = {"model_type": "vit", "auto_map": {"AutoModelForCausalLM": offered}}
    parts = {"encoder": {"model_type": "bert"}, "decoder": part}
    config = chat / "model" / "config.json"
    config.write_text(json.dumps({"model_type": "encoder-decoder", **parts}))
    described = Model.load(chat)
    described.flavors["transformers"]["pipeline_model_type"] = "EncoderDecoderModel"
    described.save(chat / "MLmodel")
    asked: list[str] = []

    def answer(text: str = "") -> str:
        asked.append(text)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    with pytest.raises(HeadraceError):
        load_pyfunc(chat)
    assert asked == []
    assert not (tmp_path / "code-has-run").exists()


def test_who_signed_an_adapter_has_not_signed_its_model(tmp_path: Path) -> None:
    from headrace.models.flavors.transformers import _base_folder
    from headrace.models.trust import open_folder, sign_folder

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "weights").write_text("")
    assert sign_folder(tmp_path / "adapter")
    facts = {"local_base_model_path": str(tmp_path / "base")}
    for trust in (False, True):
        adapter = open_folder(tmp_path / "adapter", trust=trust)
        assert adapter.is_trusted
        base = _base_folder(adapter, facts, None)
        assert base is not None
        assert base.is_trusted == trust


@pytest.mark.parametrize("place", ["../../elsewhere", "/elsewhere", "a/../../b", 7])
def test_no_part_of_sentence_transformers_lies_elsewhere(tmp_path: Path, place: Any) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import headrace.sentence_transformers as door

    models = pytest.importorskip("sentence_transformers.models")
    inner = models.Transformer(str(tiny_bert(tmp_path / "tiny-bert")))
    model = sentence_transformers.SentenceTransformer(
        modules=[inner, models.Pooling(32)], device="cpu"
    )
    door.save_model(model, tmp_path / "m")
    file = _unsigned(tmp_path / "m") / "model.sentence_transformer" / "modules.json"
    modules = json.loads(file.read_text())
    modules[1]["path"] = place
    file.write_text(json.dumps(modules))
    with pytest.raises(InvalidModel, match="elsewhere"):
        load_pyfunc(tmp_path / "m")
