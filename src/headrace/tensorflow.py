"""Keras models of TensorFlow and autologging, under the names that MLflow's users know them by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.client.autolog.keras import tensorflow_autolog as autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it
from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
from headrace.errors import InvalidRequest
from headrace.models.environment.defaults import default_conda_env, default_requirements
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
    model: Any,
    path: str | Path,
    conda_env: Any = None,
    code_paths: Any = None,
    mlflow_model: Any = None,
    custom_objects: Mapping[str, Any] | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    saved_model_kwargs: dict[str, Any] | None = None,
    keras_model_kwargs: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    extra_files: Any = None,
) -> None:
    """Save a Keras model as the folder `path`, in the form of MLflow's flavor `tensorflow`.

    `headrace.keras` keeps the same file and does not ask MLflow for TensorFlow. Raises
    InvalidRequest for models of TensorFlow that are not Keras's.
    """
    _save(request_for(model, "tensorflow", **given(locals(), "model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    artifact_path: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    conda_env: Any = None,
    code_paths: Any = None,
    signature: Any = None,
    input_example: Any = None,
    registered_model_name: str | None = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    saved_model_kwargs: dict[str, Any] | None = None,
    keras_model_kwargs: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    extra_files: Any = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log a Keras model; see `save_model`."""
    return _log(model, "tensorflow", **given(locals(), "model"))


def load_model(
    model_uri: str,
    dst_path: str | None = None,
    saved_model_kwargs: dict[str, Any] | None = None,
    keras_model_kwargs: dict[str, Any] | None = None,
    *,
    trust: bool = False,
) -> Any:
    """The Keras model that was saved, by MLflow or here, where Keras 3 can load it.

    `keras_model_kwargs` are those of `keras.saving.load_model`. A model in the older form (`.h5`)
    needs trust; a SavedModel needs TensorFlow, and raises InvalidRequest.
    """
    if saved_model_kwargs:
        raise InvalidRequest("'saved_model_kwargs' are for a SavedModel, which is not loaded here.")
    return _load(
        model_uri,
        "tensorflow",
        dst_path=dst_path,
        trust=trust,
        load_model_kwargs=keras_model_kwargs,
    )


def get_default_pip_requirements(include_cloudpickle: bool = False) -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("tensorflow", *(["cloudpickle"] if include_cloudpickle else []))


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
