"""What the libraries of language models are shown of a folder, and what asks for code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidModel, NotTrusted
from headrace.models.flavors import sentence_transformers_files as sentence_files
from headrace.models.flavors import transformers_files as files
from headrace.models.flavors.onnxruntime_genai_files import check_config
from headrace.models.flavors.onnxruntime_genai_script import script
from headrace.models.trust import open_folder


def _folder(place: Path, **content: Any) -> Path:
    """A model folder whose files are given by name; `__` stands for a dot, `_0_` for a slash."""
    for name, data in content.items():
        file = place / name.replace("__", ".").replace("_0_", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return place


CONFIG = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3"}


def test_the_library_sees_weights_and_descriptions_only(tmp_path: Path) -> None:
    _folder(
        tmp_path,
        model_0_config__json=CONFIG,
        model_0_model__safetensors=b"weights",
        model_0_pytorch_model__bin=pickle.dumps("weights"),
        model_0_modeling__py=b"raise SystemExit",
        model_0_custom_generate_0_generate__py=b"raise SystemExit",
        model_0_adapter_config__json={"base_model_name_or_path": "somebody/else"},
    )
    with files.reviewed(open_folder(tmp_path), "model") as view:
        seen = {each.relative_to(view).as_posix() for each in view.rglob("*") if each.is_file()}
        assert seen == {"config.json", "model.safetensors"}
        assert (view / "model.safetensors").read_bytes() == b"weights"
        assert view.stat().st_mode & 0o077 == 0
    assert not view.exists()


def test_paths_of_its_author_are_not_read(tmp_path: Path) -> None:
    described = {"tokenizer_class": "X", "tokenizer_file": "/etc/passwd", "vocab_file": "../x"}
    _folder(tmp_path, t_0_tokenizer_config__json=described)
    with files.reviewed(open_folder(tmp_path), "t") as view:
        assert json.loads((view / "tokenizer_config.json").read_text()) == {"tokenizer_class": "X"}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"quantization_config": {"quant_method": "quark"}}, "quantized"),
        ({"_attn_implementation": "somebody/kernel"}, "compiled code"),
        ({"text_config": {"attn_implementation": "somebody/kernel"}}, "compiled code"),
        ({"layers": [{"experts_implementation": "somebody/kernel:f"}]}, "compiled code"),
        ({"attn_implementation": {"text_config": "somebody/kernel"}}, "compiled code"),
        ({"transformers_weights": "adapter_model.bin"}, "no safetensors"),
        ({"backbone_config": {"use_pretrained_backbone": True}}, "fetched"),
    ],
)
def test_a_configuration_that_asks_for_code_is_found(
    tmp_path: Path, config: dict[str, Any], why: str
) -> None:
    _folder(tmp_path, m_0_config__json={**CONFIG, **config}, m_0_model__safetensors=b"")
    found = files.why_code(open_folder(tmp_path), "m")
    assert found is not None
    assert found[0] == "m/config.json"
    assert why in found[1]


def test_a_plain_checkpoint_asks_for_nothing(tmp_path: Path) -> None:
    config = {**CONFIG, "attn_implementation": "sdpa", "auto_map": {"AutoModel": "modeling.X"}}
    _folder(tmp_path, m_0_config__json=config, m_0_model__safetensors=b"")
    assert files.why_code(open_folder(tmp_path), "m") is None


def test_pickled_weights_are_found_only_where_there_are_no_others(tmp_path: Path) -> None:
    _folder(tmp_path, m_0_config__json=CONFIG, m_0_pytorch_model__bin=b"")
    found = files.why_code(open_folder(tmp_path), "m")
    assert found is not None
    assert found[0] == "m/pytorch_model.bin"
    _folder(tmp_path, m_0_model__safetensors=b"")
    assert files.why_code(open_folder(tmp_path), "m") is None


def test_an_adapter_for_a_model_on_a_hub_is_found(tmp_path: Path) -> None:
    base = {"base_model_name_or_path": "somebody/model"}
    _folder(tmp_path, m_0_adapter_config__json=base, m_0_model__safetensors=b"")
    found = files.why_code(open_folder(tmp_path), "m")
    assert found is not None
    assert "somebody/model" in found[1]


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/x.safetensors", "x.bin", "no.safetensors"]
)
def test_shards_lie_beside_their_index(tmp_path: Path, shard: str) -> None:
    index = {"weight_map": {"a": "one.safetensors", "b": shard}}
    _folder(
        tmp_path,
        m_0_config__json=CONFIG,
        m_0_one__safetensors=b"",
        m_0_model__safetensors__index__json=index,
    )
    with pytest.raises(InvalidModel, match="not beside it"):
        files.why_code(open_folder(tmp_path), "m")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'"text"', b"[" * 100_000])
def test_what_is_no_json_object_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    _folder(tmp_path, m_0_config__json=data, m_0_model__safetensors=b"")
    with pytest.raises(InvalidModel, match=r"config\.json"):
        files.why_code(open_folder(tmp_path), "m")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_can_be_judged(found: Any) -> None:
    files.why_config({"anything": found})


ROOT = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.mark.parametrize(
    "kind",
    [
        "os.system",
        "modeling_own.Transformer",
        "sentence_transformers.models.WordEmbeddings",
        "sentence_transformers.util.import_from_string",
        "sentence_transformers_evil.Transformer",
        5,
    ],
)
def test_only_classes_that_were_read_load(tmp_path: Path, kind: Any) -> None:
    _folder(tmp_path, m_0_modules__json=[*ROOT, {"path": "2", "type": kind}])
    found = sentence_files.why_code(open_folder(tmp_path), "m")
    assert found is not None
    assert found[0] == "m/modules.json"
    assert repr(kind) in found[1]


def test_a_plain_sentence_model_asks_for_nothing(tmp_path: Path) -> None:
    _folder(
        tmp_path,
        m_0_modules__json=ROOT,
        m_0_config__json={"model_type": "bert"},
        m_0_model__safetensors=b"",
        m_0_pytorch_model__bin=b"the same as a pickle",
        m_0_1_Pooling_0_config__json={"word_embedding_dimension": 32},
    )
    assert sentence_files.why_code(open_folder(tmp_path), "m") is None


@pytest.mark.parametrize(
    ("name", "config", "why"),
    [
        ("m_0_2_Dense_0_config__json", {"activation_function": "os.system"}, "activation"),
        ("m_0_2_Dense_0_config__json", {"activation_function": "torch.hub.load"}, "activation"),
        ("m_0_2_R_0_router_config__json", {"types": {"a": "os.system"}}, "os.system"),
        ("m_0_sentence_bert_config__json", {"model_args": {"gguf_file": "x"}}, "gguf_file"),
        ("m_0_sentence_bert_config__json", {"model_args": {"attn_implementation": "a/b"}}, "code"),
        ("m_0_config__json", {"quantization_config": {"quant_method": "quark"}}, "quantized"),
        ("m_0_adapter_config__json", {"base_model_name_or_path": "a/b"}, "adapter"),
        ("m_0_2_Dense_0_pytorch_model__bin", {}, "pickle"),
    ],
)
def test_parts_of_a_sentence_model_that_ask_for_code_are_found(
    tmp_path: Path, name: str, config: dict[str, Any], why: str
) -> None:
    _folder(tmp_path, **{"m_0_modules__json": ROOT, "m_0_model__safetensors": b"", name: config})
    found = sentence_files.why_code(open_folder(tmp_path), "m")
    assert found is not None
    assert why in found[1]


GENAI: dict[str, Any] = {
    "model": {
        "type": "phi3",
        "decoder": {
            "filename": "model.onnx",
            "session_options": {"log_id": "onnxruntime-genai", "provider_options": [{"cuda": {}}]},
            "inputs": {"input_ids": "/model/embed/input_ids"},
        },
    },
    "search": {"max_length": 256},
}


def _genai(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(GENAI))
    made["model"]["decoder"].update(changes)
    return made


def test_what_the_builder_writes_is_taken(tmp_path: Path) -> None:
    _folder(tmp_path, model_0_genai_config__json=GENAI, model_0_model__onnx=b"")
    assert check_config(open_folder(tmp_path), "model") == GENAI


@pytest.mark.parametrize(
    "filename", ["/etc/passwd", "../model.onnx", "missing.onnx", "a/../../model.onnx"]
)
def test_files_of_a_genai_model_lie_in_its_folder(tmp_path: Path, filename: str) -> None:
    config = _genai(filename=filename)
    _folder(tmp_path, model_0_genai_config__json=config, model_0_model__onnx=b"")
    with pytest.raises(InvalidModel, match="not in its folder"):
        check_config(open_folder(tmp_path), "model")


@pytest.mark.parametrize(
    "options",
    [
        {"custom_ops_library": "model.onnx"},
        {"provider_options": [{"VitisAI": {"config_file": "x"}}]},
        {"provider_options": [{"QNN": {}}]},
        {"provider_options": [{"cuda": {"backend_path": "libevil.so"}}]},
        {"ep.register": "evil.so"},
        {"enable_profiling": "/tmp/x"},
    ],
)
def test_libraries_named_by_a_genai_model_need_trust(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    config = _genai(session_options=options)
    _folder(tmp_path, model_0_genai_config__json=config, model_0_model__onnx=b"")
    with pytest.raises(NotTrusted, match=r"genai_config\.json.*trust=True.*headrace trust add"):
        check_config(open_folder(tmp_path), "model")


def test_the_script_for_mlflow_has_each_name_once_and_nothing_of_headrace() -> None:
    import ast

    tree = ast.parse(script("llm/v1/chat", 'it\'s "odd"\n'))
    names = [each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))
    imported = [
        name
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom)
        for name in (
            [each.module]
            if isinstance(each, ast.ImportFrom)
            else [alias.name for alias in each.names]
        )
    ]
    assert not any(name and name.startswith("headrace") for name in imported)
