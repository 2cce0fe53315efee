"""Which engine makes text with a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS
from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.predicted import PredictedEngine

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel

AUTO: Final = "auto"
ENGINES: Final = (AUTO, "transformers", "onnxruntime", "vllm", "plain")
"""What can be asked for. `plain` is the model's own `predict`, one request after the other."""
_FLAVORS: Final = {"transformers": "transformers", "onnxruntime_genai": "onnxruntime"}


def _task_of(model: PyFuncModel) -> str | None:
    """The task in OpenAI's shape that a model was saved for."""
    metadata = model.metadata.metadata
    task = metadata.get("task") if isinstance(metadata, dict) else None
    return task if isinstance(task, str) else None


def engine_for(
    model: PyFuncModel, name: str = AUTO, *, slots: int, threads: int | None = None
) -> GenerationEngine | None:
    """What makes text with `model`, `slots` answers at a time; None for one that makes none for
    conversations or prompts. InvalidRequest where the engine `name` cannot serve it.
    """
    if name not in ENGINES:
        raise InvalidRequest(f"There is no engine '{name}'; expected one of: {', '.join(ENGINES)}.")
    if _task_of(model) not in (CHAT, COMPLETIONS):
        if name != AUTO:
            raise InvalidRequest(
                f"The engine '{name}' makes text, and this model has no task that asks for it "
                f"({CHAT} or {COMPLETIONS} in its metadata). Leave the engine to 'auto'."
            )
        return None
    chosen = name
    if name == AUTO:
        found = [engine for flavor, engine in _FLAVORS.items() if flavor in model.metadata.flavors]
        chosen = found[0] if found else "plain"
    return _MAKERS[chosen](model, slots, threads)


def _facts(model: PyFuncModel, flavor: str, engine: str) -> dict[str, Any]:
    """What a flavor wrote into the model. InvalidRequest where it is none of this flavor."""
    facts = model.metadata.flavors.get(flavor)
    if facts is None:
        there = ", ".join(model.metadata.flavors)
        raise InvalidRequest(
            f"The engine '{engine}' serves models of the flavor {flavor}; this one has: {there}. "
            "Leave the engine to 'auto'."
        )
    return dict(facts)


def _transformers(model: PyFuncModel, slots: int, threads: int | None) -> GenerationEngine:
    pipeline, name = _pipeline(model, "transformers")
    from headrace.serving.engines.torch_engine import torch_engine

    return torch_engine(pipeline, model.model_config, name, slots=slots, threads=threads)


def _pipeline(model: PyFuncModel, engine: str) -> tuple[Any, str]:
    """The model's pipeline, and the name of what it was made from."""
    facts = _facts(model, "transformers", engine)
    from headrace.models.flavors.transformers_saving import as_pipeline

    name = str(facts.get("source_model_name") or "model")
    return as_pipeline(model.native, facts.get("task")), name


def _onnxruntime(model: PyFuncModel, slots: int, threads: int | None) -> GenerationEngine:
    _facts(model, "onnxruntime_genai", "onnxruntime")
    from headrace.serving.engines.genai_engine import genai_engine

    return genai_engine(model.native.with_options(model.model_config), slots=slots, threads=threads)


def _vllm(model: PyFuncModel, slots: int, threads: int | None) -> GenerationEngine:
    del threads  # it calculates on a GPU
    _facts(model, "transformers", "vllm")
    from headrace.serving.engines.vllm_engine import vllm_engine

    return vllm_engine(model, slots=slots)


def _plain(model: PyFuncModel, slots: int, threads: int | None) -> GenerationEngine:
    del slots, threads  # its code decides
    named = (facts.get("source_model_name") for facts in model.metadata.flavors.values())
    name = next((str(each) for each in named if each), None) or model.model_id or "model"
    return PredictedEngine(model, name)


_MAKERS: Final[dict[str, Callable[[PyFuncModel, int, int | None], GenerationEngine]]] = {
    "transformers": _transformers,
    "onnxruntime": _onnxruntime,
    "vllm": _vllm,
    "plain": _plain,
}
