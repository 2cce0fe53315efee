"""The door that MLflow's users know: `headrace.transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client.autolog.transformers import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it
from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
from headrace.models.environment.defaults import default_conda_env, default_requirements
from headrace.models.flavor import comes_from
from headrace.models.model import ModelInfo
from headrace.models.saving import given, request_for
from headrace.models.saving import save_model as _save

__all__ = [
    "autolog",
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "save_model",
]


def save_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    transformers_model: Any,
    path: str | Path,
    processor: Any = None,
    task: str | None = None,
    torch_dtype: Any = None,
    model_card: Any = None,
    code_paths: list[str] | None = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | str | None = None,
    extra_pip_requirements: list[str] | str | None = None,
    conda_env: Any = None,
    metadata: dict[str, Any] | None = None,
    model_config: dict[str, Any] | None = None,
    prompt_template: str | None = None,
    save_pretrained: bool = True,
    base_model_path: str | None = None,
    **kwargs: Any,
) -> None:
    """Save a pipeline, a dictionary of its components, or a checkpoint's folder with its `task`;
    see the guide to language models.
    """
    options = given(locals(), "transformers_model", "path")
    _save(request_for(transformers_model, "transformers", **options), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    transformers_model: Any,
    artifact_path: str | None = None,
    processor: Any = None,
    task: str | None = None,
    torch_dtype: Any = None,
    model_card: Any = None,
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
    prompt_template: str | None = None,
    save_pretrained: bool = True,
    prompts: list[Any] | None = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    base_model_path: str | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log a pipeline, a dictionary of its components, or a checkpoint's folder with its `task`."""
    return _log(transformers_model, "transformers", **given(locals(), "transformers_model"))


def load_model(
    model_uri: str,
    dst_path: str | None = None,
    return_type: str = "pipeline",
    device: Any = None,
    base_model_path: str | None = None,
    *,
    trust: bool = False,
    **kwargs: Any,
) -> Any:
    """The pipeline that was saved, or its components (`return_type="components"`)."""
    return _load(
        model_uri,
        "transformers",
        dst_path=dst_path,
        trust=trust,
        return_type=return_type,
        device=device,
        base_model_path=base_model_path,
        **kwargs,
    )


def get_default_pip_requirements(model: Any) -> list[str]:
    """What this model needs at least, pinned to what is installed."""
    adapters = ["peft"] if comes_from(model, "peft") else []
    return default_requirements("transformers", "torch", *adapters)


def get_default_conda_env(model: Any) -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements(model))
