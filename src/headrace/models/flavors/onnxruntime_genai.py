"""Language models for ONNX Runtime GenAI, as its builder makes them: folders with weights.

MLflow has no such flavor. The folder carries a script for it, which is never run here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target
from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel, predicted
from headrace.models.flavors.onnxruntime_genai_files import (
    CONFIG,
    View,
    check_config,
    check_provider,
)
from headrace.models.flavors.onnxruntime_genai_script import ARTIFACT, FILE, script
from headrace.models.flavors.openai_engine import chat_pieces
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS
from headrace.models.flavors.openai_signatures import check_no_other_signature, signature_of_task

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature
    from headrace.models.trust import VerifiedFolder

_TASKS: Final = (CHAT, COMPLETIONS)


class OnnxRuntimeGenAIFlavor(Flavor):
    """See the module."""

    name = "onnxruntime_genai"
    loader_module = "mlflow.pyfunc.loaders.code_model"
    package = "onnxruntime_genai"
    install = "onnxruntime-genai"

    def handles(self, model: Any) -> bool:
        """See Flavor. A folder is one of these if it has a genai_config.json."""
        if isinstance(model, str | os.PathLike):
            return (Path(model) / CONFIG).is_file()
        return isinstance(model, GenAIModel)

    def save(self, model: Any, target: Target, *, task: str | None = None) -> Saved:
        """See Flavor. `task` is "llm/v1/chat", "llm/v1/completions" or None (prompts)."""
        if task is not None and task not in _TASKS:
            raise InvalidRequest(f"'task' is {task!r}; expected one of: {', '.join(_TASKS)}.")
        if not self.handles(model):
            raise InvalidRequest(
                "A model for ONNX Runtime GenAI is given as the folder that its builder made "
                f"(python -m onnxruntime_genai.models.builder), which has a {CONFIG}; not "
                f"{model!r}."
            )
        if task is not None:
            check_no_other_signature(task, target.signature)
        source = model.path if isinstance(model, GenAIModel) else Path(os.fspath(model))
        name = source.resolve().name
        target.take(source, ARTIFACT)
        (target.folder / FILE).write_text(script(task, name), encoding="utf-8")
        facts = {
            "model_data": ARTIFACT,
            "onnxruntime_genai_version": _version(),
            "source_model_name": name,
            **({"inference_task": task} if task else {}),
        }
        artifact = {"path": ARTIFACT, "uri": ARTIFACT}
        return Saved(
            facts,
            {"model_code_path": FILE, "artifacts": {ARTIFACT: artifact}, "streamable": True},
            packages=("onnxruntime-genai",),
            metadata={"task": task} if task else {},
            signature=signature_of_task(task) if task else _prompts(),
        )

    def load(
        self, folder: VerifiedFolder, facts: Mapping[str, Any], *, provider: str | None = None
    ) -> GenAIModel:
        """See Flavor. `provider` runs it elsewhere than its configuration says ("cpu", "cuda")."""
        check_provider(provider)
        name = str(facts.get("model_data"))
        view = View(folder, name, check_config(folder, name))
        try:
            loaded = GenAIModel(
                view.path, provider=provider, model_name=str(facts.get("source_model_name", name))
            )
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise InvalidRequest(
                f"ONNX Runtime GenAI cannot load the model in '{folder.path}': {error}"
            ) from error
        loaded.path = folder.path / name
        loaded.__dict__["_view"] = view  # the weights may be read later
        return loaded

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        loaded = native if isinstance(native, GenAIModel) else GenAIModel(os.fspath(native))
        task = facts.get("inference_task")
        return _GenAIPredictor(loaded.with_options(config), None if task is None else str(task))


class _GenAIPredictor(Predictor):
    def __init__(self, model: GenAIModel, task: str | None) -> None:
        self._model = model
        self._task = task

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        return predicted(self._model, self._task, data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """See Predictor. Pieces of a chat answer."""
        if self._task != CHAT:
            return super().predict_stream(data, params)
        return chat_pieces(self._model, data, params)


def _version() -> str:
    import onnxruntime_genai

    return str(onnxruntime_genai.__version__)


def _prompts() -> ModelSignature:
    from headrace.models.schema import ColSpec, Schema
    from headrace.models.signature import ModelSignature

    return ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("string")]))
