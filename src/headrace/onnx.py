"""ONNX models, under the names that MLflow's users know them by."""

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
    onnx_model: Any,
    path: str | Path,
    conda_env: Any = None,
    code_paths: Any = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    onnx_execution_providers: list[Any] | None = None,
    onnx_session_options: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    save_as_external_data: bool = True,
    extra_files: Any = None,
    **kwargs: Any,
) -> None:
    """Save an ONNX model, an `onnx.ModelProto` or the path of a file, as the folder `path`.

    A file, with the files of weights beside it that it names, is copied and never held in memory.
    Raises InvalidRequest for what is no valid model.
    """
    _save(request_for(onnx_model, "onnx", **given(locals(), "onnx_model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    onnx_model: Any,
    artifact_path: str | None = None,
    conda_env: Any = None,
    code_paths: Any = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    onnx_execution_providers: list[Any] | None = None,
    onnx_session_options: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    save_as_external_data: bool = True,
    extra_files: Any = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log an ONNX model; see `save_model`."""
    return _log(onnx_model, "onnx", **given(locals(), "onnx_model"))


def load_model(model_uri: str, dst_path: str | None = None, *, trust: bool = False) -> Any:
    """The `onnx.ModelProto` that was saved, with its weights."""
    return _load(model_uri, "onnx", dst_path=dst_path, trust=trust)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("onnx", "onnxruntime")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
