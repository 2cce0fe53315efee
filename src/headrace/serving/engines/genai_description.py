"""What `genai_config.json` says of a model, and whether the decoder over ONNX Runtime can serve it.

The keys are those of ONNX Runtime GenAI's builder and its `Config`. The file is not trusted: every
value is checked, and what the graph itself says counts where both say it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidModel

_CONFIG: Final = "genai_config.json"
_INPUTS: Final = frozenset(
    {"input_ids", "attention_mask", "position_ids", "past_key_names", "past_value_names"}
)
_OUTPUTS: Final = frozenset({"logits", "present_key_names", "present_value_names"})
_PARTS: Final = ("encoder", "vision", "speech", "embedding")
_MOST_LAYERS: Final = 1024
_MOST_NUMBERS: Final = 1 << 16
_MOST_PLACES: Final = 1 << 24


@dataclass(frozen=True)
class Description:
    """The names in the graph, and the sizes that the graph does not say."""

    file: str
    """The graph, in the model's folder."""
    input_ids: str
    attention_mask: str
    position_ids: str
    """Where the graph does not find the places out by itself."""
    logits: str
    past: tuple[str, ...]
    """The inputs with the keys, then the values, of all layers."""
    present: tuple[str, ...]
    """The outputs that go on from them, in the same order."""
    window: int
    """How many tokens back the attention of some layers goes at most, which their caches must have
    places for; 0 where all go back to the beginning.
    """
    head_size: int
    """How many numbers the key of one head has."""
    context_length: int
    """How many tokens a prompt and its answer can have together."""


def config_of(folder: Path) -> dict[str, Any]:
    """The file's object. InvalidModel where there is none, or it is something else."""
    try:
        found = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidModel(f"The model's {_CONFIG} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidModel(f"The model's {_CONFIG} holds no JSON object.")
    return found


def why_not(config: Mapping[str, Any]) -> str | None:
    """Why sequences of this model cannot be calculated together over a plain session; None where
    nothing in the configuration speaks against it.
    """
    model = _table(config, "model")
    decoder = _table(model, "decoder")
    part = next((each for each in _PARTS if each in model), None)
    if part is not None:
        return f"it has a part '{part}' beside its decoder"
    if decoder.get("pipeline"):
        return "it is a pipeline of several graphs"
    strange = set(_table(decoder, "inputs")) - _INPUTS or set(_table(decoder, "outputs")) - _OUTPUTS
    if strange:
        return f"its graph takes or gives '{min(strange)}'"
    window = _table(decoder, "sliding_window")
    if window.get("slide_inputs") or window.get("slide_key_value_cache"):
        return "its inputs or its cache slide with a window"
    search = _table(config, "search")
    if search.get("past_present_share_buffer") is not True:
        return "its cache does not stay in place (past_present_share_buffer)"
    if search.get("num_beams", 1) != 1:
        return "it searches with beams"
    return None


def described(config: Mapping[str, Any]) -> Description:
    """What the configuration says, with ONNX Runtime GenAI's names where it gives none.

    InvalidModel where it is not such as its builder writes.
    """
    model = _table(config, "model")
    decoder = _table(model, "decoder")
    inputs, outputs = _table(decoder, "inputs"), _table(decoder, "outputs")
    layers = _whole(decoder, "num_hidden_layers", _MOST_LAYERS)
    window = _table(decoder, "sliding_window")
    return Description(
        file=_text(decoder, "filename"),
        input_ids=_text(inputs, "input_ids", "input_ids"),
        attention_mask=_text(inputs, "attention_mask", "attention_mask"),
        position_ids=_text(inputs, "position_ids", "position_ids"),
        logits=_text(outputs, "logits", "logits"),
        past=(
            *_names(inputs, "past_key_names", "past_key_values.%d.key", layers),
            *_names(inputs, "past_value_names", "past_key_values.%d.value", layers),
        ),
        present=(
            *_names(outputs, "present_key_names", "present.%d.key", layers),
            *_names(outputs, "present_value_names", "present.%d.value", layers),
        ),
        window=_whole(window, "window_size", _MOST_PLACES) if window else 0,
        head_size=_whole(decoder, "head_size", _MOST_NUMBERS),
        context_length=_whole(model, "context_length", _MOST_PLACES),
    )


def _names(table: Mapping[str, Any], key: str, default: str, layers: int) -> list[str]:
    pattern = _text(table, key, default)
    if pattern.count("%d") != 1:
        raise InvalidModel(f"'{key}' of the model's {_CONFIG} must hold '%d' once: {pattern!r}.")
    return [pattern.replace("%d", str(layer)) for layer in range(layers)]


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise InvalidModel(f"'{key}' of the model's {_CONFIG} must be an object, not {value!r}.")
    return value


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise InvalidModel(f"'{key}' of the model's {_CONFIG} must be a text, not {value!r}.")
    return value


def _whole(table: Mapping[str, Any], key: str, most: int) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise InvalidModel(
            f"'{key}' of the model's {_CONFIG} must be a whole number from 1 to {most}, "
            f"not {value!r}."
        )
    return value
