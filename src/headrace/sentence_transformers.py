"""The door that MLflow's users know: `headrace.sentence_transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
from headrace.models.environment.defaults import default_conda_env, default_requirements
from headrace.models.model import ModelInfo
from headrace.models.saving import given, request_for
from headrace.models.saving import save_model as _save

__all__ = [
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "save_model",
]


def save_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    path: str | Path,
    task: str | None = None,
    inference_config: dict[str, Any] | None = None,
    code_paths: list[str] | None = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | str | None = None,
    extra_pip_requirements: list[str] | str | None = None,
    conda_env: Any = None,
    metadata: dict[str, Any] | None = None,
    extra_files: Any = None,
    **kwargs: Any,
) -> None:
    """Save a SentenceTransformer, or the folder of one; see the guide to language models."""
    _save(request_for(model, "sentence_transformers", **given(locals(), "model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    artifact_path: str | None = None,
    task: str | None = None,
    inference_config: dict[str, Any] | None = None,
    code_paths: list[str] | None = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: list[str] | str | None = None,
    extra_pip_requirements: list[str] | str | None = None,
    conda_env: Any = None,
    metadata: dict[str, Any] | None = None,
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
    """Log a SentenceTransformer, or the folder of one."""
    return _log(model, "sentence_transformers", **given(locals(), "model"))


def load_model(model_uri: str, dst_path: str | None = None, *, trust: bool = False) -> Any:
    """The SentenceTransformer that was saved."""
    return _load(model_uri, "sentence_transformers", dst_path=dst_path, trust=trust)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("sentence-transformers", "transformers", "torch")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
