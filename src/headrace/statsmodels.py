"""statsmodels's models and autologging, under the names that MLflow's users know them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.client.autolog.statsmodels import autolog
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
    statsmodels_model: Any,
    path: str | Path,
    conda_env: Any = None,
    code_paths: Any = None,
    mlflow_model: Any = None,
    remove_data: bool = False,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: dict[str, Any] | None = None,
    extra_files: Any = None,
) -> None:
    """Save what `fit` of statsmodels gave as the folder `path`.

    statsmodels has no form but a pickle: it loads where the one who signed it is trusted.
    With `remove_data` the data that it was fitted on is left out, of the object too.
    Raises InvalidRequest, and AlreadyExists.
    """
    _save(
        request_for(
            statsmodels_model, "statsmodels", **given(locals(), "statsmodels_model", "path")
        ),
        path,
    )


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    statsmodels_model: Any,
    artifact_path: str | None = None,
    conda_env: Any = None,
    code_paths: Any = None,
    registered_model_name: str | None = None,
    remove_data: bool = False,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
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
    """Log what `fit` of statsmodels gave as a model of the active run.

    As `save_model`; `headrace.log_model` says the rest.
    """
    return _log(statsmodels_model, "statsmodels", **given(locals(), "statsmodels_model"))


def load_model(model_uri: str, dst_path: str | None = None, *, trust: bool = False) -> Any:
    """The results that was saved.

    NotTrusted for what can run code and is signed by nobody who is trusted, unless `trust`.
    """
    return _load(model_uri, "statsmodels", dst_path=dst_path, trust=trust)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("statsmodels")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
