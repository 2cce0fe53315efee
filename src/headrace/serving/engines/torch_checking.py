"""Whether a model can calculate unlike sequences together: looked up, and then tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.models.flavors.transformers_generation import PipelineEngine
from headrace.serving.engines.torch_decoder import TorchDecoder

_KINDS: Final = frozenset(("full_attention", "sliding_attention"))
_ATTENTION: Final = ("sdpa", "eager")
_STEPS: Final = ([0], [0, 2], [2, 1, 0], [0, 1, 2])
"""Which sequences go on at each step that is tried: alone, around a free place, in any order."""
_TOLERANCE: Final = {"torch.float32": 2e-3, "torch.float64": 2e-3, "torch.float16": 5e-2}
_ROUGH: Final = 2e-1
"""How far logits may lie apart, in parts of the largest of them: by their type, else this."""


def why_not_together(pipeline: Any) -> str | None:
    """The reason why sequences of unlike length must not be given to this pipeline's model in one
    call; None where they may.
    """
    return _why_not_by_config(pipeline.model) or _why_not_tried(pipeline)


def _why_not_by_config(model: Any) -> str | None:
    config = model.config.get_text_config()
    if getattr(model.config, "is_encoder_decoder", False):
        return "it has an encoder"
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - _KINDS:
        return f"it has layers of the kind '{min(kinds - _KINDS)}'"
    if getattr(config, "attention_chunk_size", None) and not kinds:
        return "it looks at chunks of a text"
    if config._attn_implementation not in _ATTENTION:
        return f"its attention is '{config._attn_implementation}'"
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    original = getattr(config, "original_max_position_embeddings", None)
    kind = rope.get("rope_type", rope.get("type"))
    is_longer = original is None or original < (getattr(config, "max_position_embeddings", 0) or 0)
    if kind == "dynamic" or (kind == "longrope" and is_longer):
        return f"what it makes of places ('{kind}') depends on the longest sequence"
    return None


def _why_not_tried(pipeline: Any) -> str | None:
    """Two sequences, of which one joins in the middle of the other, must give the logits that the
    model has for each alone, without any cache.
    """
    try:
        apart = _furthest_apart(pipeline)
    except Exception as error:  # noqa: BLE001 - models raise what they like where they do not fit
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        return f"its model does not take a mask, places and a cache ({said[:200]})"
    tolerance = _TOLERANCE.get(str(pipeline.model.dtype), _ROUGH)
    if not apart <= tolerance:  # also where it is no number
        return f"its logits differ by {apart:.3g} of the largest where sequences are together"
    return None


def _furthest_apart(pipeline: Any) -> float:
    """How far logits are from the model's own, in parts of the largest of those.

    As few calls as may be: each takes a second or more for a large model on a CPU.
    """
    import numpy as np
    import torch

    model = pipeline.model.eval()
    decoder = TorchDecoder(pipeline, PipelineEngine(pipeline, {}, ""), frozenset(), slots=3)
    texts = [
        [(31 * at + 11 * slot + 7) % decoder.vocabulary for at in range(16)] for slot in range(3)
    ]
    lengths = [0, 0, 0]
    found: list[tuple[int, int, Any]] = []

    def keep(slots: Sequence[int], rows: Any) -> None:
        found.extend(
            (slot, lengths[slot], np.array(row)) for slot, row in zip(slots, rows, strict=True)
        )

    for part in (5, 2):
        begin, lengths[0] = lengths[0], lengths[0] + part
        keep([0], [decoder.prefill(0, texts[0][begin : lengths[0]], begin)])
    for number, slots in enumerate(_STEPS):
        if number == 1:
            lengths[2], lengths[1] = 3, 6
            keep([2, 1], decoder.prefill_many([2, 1], [texts[2][:3], texts[1][:6]]))
        tokens = [texts[slot][lengths[slot]] for slot in slots]
        for slot in slots:
            lengths[slot] += 1
        keep(slots, decoder.step(slots, tokens))
    with torch.inference_mode():
        own = [
            model(input_ids=torch.tensor([text], device=model.device), use_cache=False)
            .logits[0]
            .float()
            .cpu()
            .numpy()
            for text in texts
        ]
    largest = max(float(np.abs(each).max()) for each in own)
    return float(max(np.abs(own[slot][n - 1] - row).max() for slot, n, row in found)) / largest
