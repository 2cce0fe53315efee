"""Whether a model can calculate unlike sequences together: looked up, and then tried."""

from __future__ import annotations

from typing import Any, Final

from headrace.models.flavors.transformers_generation import PipelineEngine
from headrace.serving.engines.torch_decoder import TorchDecoder

_KINDS: Final = frozenset(("full_attention", "sliding_attention"))
_ATTENTION: Final = ("sdpa", "eager")
_PROMPTS: Final = (7, 3)
"""How many tokens the tried prompts have."""
_ROUNDS: Final = 4
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
    import numpy as np
    import torch

    model = pipeline.model.eval()
    decoder = TorchDecoder(pipeline, PipelineEngine(pipeline, {}, ""), frozenset(), slots=3)
    size = decoder.vocabulary
    long, short = ([(31 * place + 11) % size for place in range(n)] for n in _PROMPTS)
    made = [decoder.prefill(0, long[:4], 0), decoder.prefill(0, long[4:], 4)]
    texts = {0: long, 2: short, 1: long[2:]}
    apart = [_distance(model, long, made[1])]
    for number in range(2 * _ROUNDS):
        if number == _ROUNDS:
            logits = decoder.prefill_many([2, 1], [texts[2], texts[1]])
            apart += [
                _distance(model, texts[slot], row) for slot, row in zip((2, 1), logits, strict=True)
            ]
        slots = [0] if number < _ROUNDS else [0, 2] if number % 2 else [0, 1, 2]
        for slot in slots:
            texts[slot] = [*texts[slot], (17 * number + slot) % size]
        logits = decoder.step(slots, [texts[slot][-1] for slot in slots])
        apart += [
            _distance(model, texts[slot], row) for slot, row in zip(slots, logits, strict=True)
        ]
    torch.cuda.empty_cache() if torch.cuda.is_available() else None
    return float(np.max(apart))


def _distance(model: Any, tokens: list[int], logits: Any) -> float:
    """How far `logits` are from the model's own after `tokens`, in parts of its largest."""
    import numpy as np
    import torch

    with torch.inference_mode():
        ids = torch.tensor([tokens], device=model.device)
        own = model(input_ids=ids, use_cache=False).logits[0, -1].float().cpu().numpy()
    return float(np.max(np.abs(own - logits)) / np.max(np.abs(own)))
