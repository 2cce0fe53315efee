"""Models for ONNX Runtime GenAI: `headrace.onnxruntime_genai`, a flavor that MLflow does not have.

Models saved here load in MLflow too, as its `python_function`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
from headrace.models.model import ModelInfo
from headrace.models.saving import given, request_for
from headrace.models.saving import save_model as _save

__all__ = ["load_model", "log_model", "save_model"]


def save_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    path: str | Path,
    task: str | None = None,
    code_paths: list[str] | None = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | str | None = None,
    extra_pip_requirements: list[str] | str | None = None,
    conda_env: Any = None,
    metadata: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    extra_files: Any = None,
) -> None:
    """Save the folder that `python -m onnxruntime_genai.models.builder` made; see the guide to
    language models. `task` is "llm/v1/chat", "llm/v1/completions" or None: prompts in, texts out.
    """
    _save(request_for(model, "onnxruntime_genai", **given(locals(), "model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    artifact_path: str | None = None,
    task: str | None = None,
    code_paths: list[str] | None = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: list[str] | str | None = None,
    extra_pip_requirements: list[str] | str | None = None,
    conda_env: Any = None,
    metadata: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    extra_files: Any = None,
    prompts: list[Any] | None = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log the folder that `python -m onnxruntime_genai.models.builder` made."""
    return _log(model, "onnxruntime_genai", **given(locals(), "model"))


def load_model(
    model_uri: str,
    dst_path: str | None = None,
    provider: str | None = None,
    *,
    trust: bool = False,
) -> Any:
    """The model and its tokenizer, with `generate`; `provider` is "cpu", "cuda" or another."""
    return _load(model_uri, "onnxruntime_genai", dst_path=dst_path, trust=trust, provider=provider)
