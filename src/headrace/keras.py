"""Keras models and autologging, under the names that MLflow's users know them by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.client.autolog.keras import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it
from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
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
    save_exported_model: bool = False,
    conda_env: Any = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    save_model_kwargs: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Save a `keras.Model`, or the `.keras` file at a path, as the folder `path`.

    What is made of Keras's own layers loads without trust. `kwargs` may hold `code_paths`, for
    classes of your own. Raises InvalidRequest.
    """
    _save(request_for(model, "keras", **given(locals(), "model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model: Any,
    artifact_path: str | None = None,
    save_exported_model: bool = False,
    conda_env: Any = None,
    signature: Any = None,
    input_example: Any = None,
    registered_model_name: str | None = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    save_model_kwargs: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log a `keras.Model`; see `save_model`."""
    return _log(model, "keras", **given(locals(), "model"))


def load_model(
    model_uri: str,
    dst_path: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    load_model_kwargs: Mapping[str, Any] | None = None,
    *,
    trust: bool = False,
) -> Any:
    """The `keras.Model` that was saved.

    `custom_objects` gives classes and functions of your own by their names; `load_model_kwargs`
    are those of `keras.saving.load_model`. Lambda layers and classes that are not given need trust.
    """
    options = {"custom_objects": custom_objects, "load_model_kwargs": load_model_kwargs}
    return _load(model_uri, "keras", dst_path=dst_path, trust=trust, **options)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("keras")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
