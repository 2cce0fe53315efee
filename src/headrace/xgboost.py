"""XGBoost's models and autologging, under the names that MLflow's users know them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client.autolog.xgboost import autolog
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
    xgb_model: Any,
    path: str | Path,
    conda_env: Any = None,
    code_paths: Any = None,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    model_format: str = "ubj",
    metadata: dict[str, Any] | None = None,
    extra_files: Any = None,
    **kwargs: Any,
) -> None:
    """Save a Booster or an estimator of XGBoost as the folder `path`.

    In XGBoost's own format `model_format`: "ubj", "json", or "ubj" under the name "xgb".
    Raises InvalidRequest, and AlreadyExists.
    """
    _save(request_for(xgb_model, "xgboost", **given(locals(), "xgb_model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    xgb_model: Any,
    artifact_path: str | None = None,
    conda_env: Any = None,
    code_paths: Any = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    model_format: str = "ubj",
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
    """Log a Booster or an estimator of XGBoost as a model of the active run.

    As `save_model`; `headrace.log_model` says the rest.
    """
    return _log(xgb_model, "xgboost", **given(locals(), "xgb_model"))


def load_model(model_uri: str, dst_path: str | None = None, *, trust: bool = False) -> Any:
    """The booster or estimator that was saved.

    NotTrusted for what can run code and is signed by nobody who is trusted, unless `trust`.
    """
    return _load(model_uri, "xgboost", dst_path=dst_path, trust=trust)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("xgboost")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
