"""The engine for a transformers text-generation pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.transformers_generation import PipelineEngine, checked_options
from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.interleaved import Interleaved
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.reserved import as_many_as_granted
from headrace.serving.engines.room import fitting
from headrace.serving.engines.sampling import NAMES
from headrace.serving.engines.torch_checking import why_not_together
from headrace.serving.engines.torch_decoder import TorchDecoder, context_length

_log = logging.getLogger("headrace.serving")
_SMALL: Final = 20_000_000
"""With fewer weights than this, threads wait for each other longer than they calculate: a model of
200,000 makes 11,800 tokens a second with one thread, and 9,500 with two.
"""
_TOP_K: Final = 50
"""What transformers draws from where nothing says `top_k`."""
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "num_beam_groups": (1,),
    "typical_p": (1.0,),
    "use_cache": (True,),
    "length_penalty": (1.0,),
    "early_stopping": (False,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "diversity_penalty": (0.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "min_length": (0,),
    "remove_invalid_values": (False,),
    "renormalize_logits": (False,),
    "guidance_scale": (1.0,),
    "token_healing": (False,),
    "use_mtp": (False,),
}
"""Options of `generate` that the loop does not have, and the values with which they do nothing."""
_NO_MATTER: Final = frozenset(
    (
        *("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id", "max_time"),
        *("transformers_version", "_from_model_config", "output_attentions", "output_scores"),
        *("output_hidden_states", "output_logits", "return_dict_in_generate", "generation_kwargs"),
        *("cache_implementation", "cache_config", "compile_config", "disable_compile"),
        *("return_full_text", "return_text", "return_tensors", "include_prompt", "padding"),
        *("collapse_whitespace", "batch_size", "truncation", "clean_up_tokenization_spaces"),
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_lookbehind"),
        *("assistant_confidence_threshold", "target_lookbehind", "is_assistant", "_commit_hash"),
        *("add_special_tokens", "max_matching_ngram_size", "prefill_chunk_size"),
    )
)
"""Options that say nothing of which tokens are chosen, or that are read elsewhere."""


def torch_engine(
    pipeline: Any,
    config: Mapping[str, Any],
    model_name: str,
    *,
    slots: int,
    threads: int | None = None,
) -> GenerationEngine:
    """What answers with a `TextGenerationPipeline`, many requests at once where its model can.

    `config` is the model's own configuration (`model_config`). `threads`: how many threads PyTorch
    calculates with, in this whole process; None: one for a small model, else as it is. A model that
    cannot calculate unlike sequences together answers one request after the other, and the log says
    why.
    """
    _set_threads(pipeline.model, threads)
    one_by_one = PipelineEngine(pipeline, config, model_name)
    options = own_options(pipeline, config)
    why = next((f"its configuration has '{name}'" for name in _unknown(options)), None)
    if why is None:
        why = why_not_together(pipeline)
    if why is None:
        decoder = _decoder(pipeline, one_by_one, _end_tokens(pipeline, options), slots)
        try:
            return ContinuousLoop(decoder, options)
        except InvalidRequest as error:
            why = f"its configuration is unusual: {error.message.rstrip('.')}"
    _log.warning("%s answers one request after the other, because %s.", model_name, why)
    length = context_length(pipeline.model.config.get_text_config(), pipeline.tokenizer)
    return Interleaved(one_by_one, _counting(pipeline.tokenizer), context_length=length)


def _decoder(
    pipeline: Any, engine: PipelineEngine, ends: frozenset[int], slots: int
) -> TorchDecoder:
    """With fewer slots than `slots` where there is no memory for so many of the longest sequences,
    and the device is one that gives it to each.
    """
    device = pipeline.model.device
    if device.type == "cuda":
        import torch

        free = int(torch.cuda.mem_get_info(device)[0])
        slots = fitting(slots, _sequence_bytes(pipeline), free, engine.model_name)

    def made(slots: int) -> TorchDecoder:
        decoder = TorchDecoder(pipeline, engine, ends, slots=slots)
        decoder.reserve()
        return decoder

    return as_many_as_granted(slots, made)


def _sequence_bytes(pipeline: Any) -> int:
    """What the keys and values of the longest sequence take; 0 where the model does not say."""
    config, weights = pipeline.model.config.get_text_config(), pipeline.model
    layers = getattr(config, "num_hidden_layers", None) or 0
    heads = getattr(config, "num_attention_heads", None) or 0
    kept = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None)
    if size is None:
        size = getattr(config, "hidden_size", 0) // heads if heads else 0
    numbers = int(2 * layers * kept * size * context_length(config, pipeline.tokenizer))
    return numbers * int(weights.dtype.itemsize)


def _set_threads(model: Any, threads: int | None) -> None:
    import torch

    if threads is None and sum(each.numel() for each in model.parameters()) < _SMALL:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)


def own_options(pipeline: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """How this pipeline generates where a request does not say: its library's defaults, the
    pipeline's, the model's and those of `config`, the later before the earlier.
    """
    defaults = getattr(pipeline, "_generation_defaults", None)
    if defaults is None:  # before transformers 5.13 or so
        made = getattr(pipeline, "generation_config", None)
        defaults = made.to_diff_dict() if made is not None else {}
    own = pipeline.model.generation_config.to_diff_dict()
    given = {**own, **getattr(pipeline, "_generate_kwargs", {}), **checked_options(config)}
    options = {"top_k": _TOP_K, **defaults, **given}
    if "max_length" in given and "max_new_tokens" not in given:
        options.pop("max_new_tokens", None)
    return options


def _unknown(options: Mapping[str, Any]) -> list[str]:
    """The options that choose tokens in a way that the loop does not have."""
    return [
        name
        for name, value in options.items()
        if name not in NAMES | _NO_MATTER
        and value is not None
        and value not in _NEUTRAL.get(name, ())
    ]


def _counting(tokenizer: Any) -> Callable[[str, bool], int]:
    def count(text: str, is_rendered: bool) -> int:
        return len(tokenizer(text, add_special_tokens=not is_rendered, verbose=False)["input_ids"])

    return count


def _end_tokens(pipeline: Any, options: Mapping[str, Any]) -> frozenset[int]:
    found = {pipeline.tokenizer.eos_token_id}
    model = pipeline.model
    for ids in (
        options.get("eos_token_id"),
        model.generation_config.eos_token_id,
        getattr(model.config, "eos_token_id", None),
    ):
        found.update(ids if isinstance(ids, list | tuple) else [ids])
    return frozenset(int(each) for each in found if each is not None)
