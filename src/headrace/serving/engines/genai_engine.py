"""The engine for models of ONNX Runtime GenAI: a continuous loop where their graph allows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidModel
from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel
from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.genai_check import agrees
from headrace.serving.engines.genai_description import Description, config_of, described, why_not
from headrace.serving.engines.interleaved import Interleaved
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.onnxruntime_decoder import OnnxRuntimeDecoder
from headrace.serving.engines.onnxruntime_session import CachedSession
from headrace.serving.engines.reserved import as_many_as_granted

log = logging.getLogger("headrace.serving")

_SEARCH: Final = ("do_sample", "temperature", "top_p", "top_k", "repetition_penalty")
"""The options of `search` in genai_config.json that the loop follows, too."""
_NEUTRAL: Final = {"min_length": 0, "no_repeat_ngram_size": 0}
"""Those that it does not, and what says nothing."""


def genai_engine(model: GenAIModel, *, slots: int, threads: int | None = None) -> GenerationEngine:
    """Answers of `model` to `slots` requests at once. `threads` calculate (None: as many as the
    model deserves).

    What the model's options say holds where a request says nothing. A model that cannot be
    calculated together with itself, as the log says, has its requests take turns. InvalidModel for
    a genai_config.json that is not such as ONNX Runtime GenAI writes.
    """
    config = config_of(_folder(model))
    reason = why_not(config) or _why_not_as_it_is(model, config)
    if reason is None:
        description = described(config)
        try:
            decoder = _decoder(model, description, slots, threads)
        # Whatever ONNX Runtime says to a strange graph: ONNX Runtime GenAI may still serve it.
        except Exception as error:  # noqa: BLE001 - see above
            reason = str(error) or type(error).__name__
        else:
            return ContinuousLoop(decoder, _defaults(model, config))
    log.warning(
        "The requests for the model '%s' take turns, and are not calculated together: %s.",
        model.model_name,
        reason.partition("\n")[0].rstrip("."),
    )
    return Interleaved(model, _counting(model), context_length=model.context_length, slots=slots)


def _defaults(model: GenAIModel, config: Mapping[str, Any]) -> dict[str, Any]:
    """How the model answers where a request does not say: by its options, else as the `search` of
    its genai_config.json has it, which is what ONNX Runtime GenAI does.
    """
    search = config.get("search", {})
    return {**{name: search[name] for name in _SEARCH if name in search}, **model.options}


def _counting(model: GenAIModel) -> Callable[[str, bool], int]:
    def count(text: str, is_rendered: bool) -> int:
        model.tokenizer.update_options(add_special_tokens="false" if is_rendered else "true")
        return len(model.tokenizer.encode(text))

    return count


def _folder(model: GenAIModel) -> Path:
    """The files that were checked when the model was loaded, where they lie apart."""
    view = model.__dict__.get("_view")
    return Path(model.path if view is None else view.path)


def _why_not_as_it_is(model: GenAIModel, config: Mapping[str, Any]) -> str | None:
    """Like `why_not`, for how the model was loaded, and what its options are."""
    device = model.model.device_type
    if device != "CPU":
        return f"it runs on {device}, and only the CPU is served in this way"
    search = {**config.get("search", {}), **model.options}
    for name, neutral in _NEUTRAL.items():
        if search.get(name, neutral) != neutral:
            return f"it is generated with '{name}'"
    return None


def _decoder(
    model: GenAIModel, description: Description, slots: int, threads: int | None
) -> OnnxRuntimeDecoder:
    def made(rows: int) -> CachedSession:
        return CachedSession(_folder(model), description, rows=rows, threads=threads)

    session = as_many_as_granted(slots, made)
    session.try_longest()
    decoder = OnnxRuntimeDecoder(model, session, slots=session.rows)
    if not agrees(decoder, model, room=description.window):
        raise InvalidModel("ONNX Runtime calculates other numbers than ONNX Runtime GenAI")
    return decoder
