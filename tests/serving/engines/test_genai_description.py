"""What genai_config.json says, read without trust. ONNX Runtime is not needed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidModel
from headrace.serving.engines.genai_description import config_of, described, why_not

BUILT: Final[dict[str, Any]] = {
    "model": {
        "context_length": 256,
        "decoder": {
            "session_options": {"provider_options": []},
            "filename": "model.onnx",
            "head_size": 16,
            "inputs": {
                "input_ids": "input_ids",
                "attention_mask": "attention_mask",
                "past_key_names": "past_key_values.%d.key",
                "past_value_names": "past_key_values.%d.value",
            },
            "outputs": {
                "logits": "logits",
                "present_key_names": "present.%d.key",
                "present_value_names": "present.%d.value",
            },
            "num_hidden_layers": 2,
        },
    },
    "search": {"num_beams": 1, "past_present_share_buffer": True},
}


def changed(place: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(BUILT)
    *tables, key = place.split(".")
    table = config
    for name in tables:
        table = table[name]
    table[key] = value
    return config


def test_what_the_builder_writes_is_read() -> None:
    assert why_not(BUILT) is None
    found = described(BUILT)
    assert found.past == (
        "past_key_values.0.key",
        "past_key_values.1.key",
        "past_key_values.0.value",
        "past_key_values.1.value",
    )
    assert found.present == ("present.0.key", "present.1.key", "present.0.value", "present.1.value")
    assert (found.file, found.head_size, found.context_length) == ("model.onnx", 16, 256)
    assert (found.window, found.position_ids) == (0, "position_ids")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("model.vision", {}, "'vision'"),
        ("model.encoder", {}, "'encoder'"),
        ("model.decoder.pipeline", [{"a": {}}], "pipeline"),
        ("model.decoder.inputs.block_table", "block_table", "'block_table'"),
        ("model.decoder.inputs.past_conv_names", "past.%d.conv", "'past_conv_names'"),
        ("model.decoder.outputs.hidden_states", "hidden", "'hidden_states'"),
        ("model.decoder.sliding_window", {"slide_inputs": True}, "slide"),
        ("model.decoder.sliding_window", {"slide_key_value_cache": True}, "slide"),
        ("search.past_present_share_buffer", False, "past_present_share_buffer"),
        ("search.num_beams", 4, "beams"),
    ],
)
def test_what_cannot_be_calculated_together_is_told(place: str, value: Any, said: str) -> None:
    assert said in str(why_not(changed(place, value)))


def test_a_window_is_no_hindrance_and_is_read() -> None:
    window = {"window_size": 20, "slide_inputs": False, "slide_key_value_cache": False}
    config = changed("model.decoder.sliding_window", window)
    assert why_not(config) is None
    assert described(config).window == 20


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model", 3),
        ("model.context_length", 10**12),
        ("model.context_length", True),
        ("model.decoder.filename", ""),
        ("model.decoder.head_size", -1),
        ("model.decoder.num_hidden_layers", 2.5),
        ("model.decoder.inputs.past_key_names", "%d and %d"),
        ("model.decoder.inputs.input_ids", ["a"]),
        ("model.decoder.sliding_window", {"window_size": "wide"}),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(place: str, value: Any) -> None:
    key = place.rpartition(".")[2]
    with pytest.raises(InvalidModel, match=key if key != "sliding_window" else "window_size"):
        described(changed(place, value))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
places = st.sampled_from(
    [
        *("model", "search", "model.decoder", "model.decoder.inputs", "model.decoder.outputs"),
        *("model.decoder.inputs.past_key_names", "model.decoder.sliding_window"),
        *("model.context_length", "model.decoder.num_hidden_layers", "search.num_beams"),
    ]
)


@given(place=places, value=json_values)
def test_anything_else_is_refused_or_told(place: str, value: Any) -> None:
    config = changed(place, value)
    try:
        reason = why_not(config)
        described(config)
    except InvalidModel:
        return
    assert reason is None or reason


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '"a"'])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "genai_config.json").write_text(text)
    with pytest.raises(InvalidModel, match=r"genai_config\.json"):
        config_of(tmp_path)
    (tmp_path / "genai_config.json").write_text(json.dumps(BUILT))
    assert config_of(tmp_path) == BUILT


def test_a_folder_without_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"genai_config\.json"):
        config_of(tmp_path)
