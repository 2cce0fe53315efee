"""PyTorch's models and autologging, under the names that MLflow's users know them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from headrace.client.autolog.lightning import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it
from headrace.client.model_loading import load_model as _load
from headrace.client.model_logging import log_model as _log
from headrace.client.state_dicts import load_state_dict, log_state_dict, save_state_dict
from headrace.models.environment.defaults import default_conda_env, default_requirements
from headrace.models.model import ModelInfo
from headrace.models.saving import given, request_for
from headrace.models.saving import save_model as _save

__all__ = [
    "autolog",
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "load_state_dict",
    "log_model",
    "log_state_dict",
    "save_model",
    "save_state_dict",
]


def save_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    pytorch_model: Any,
    path: str | Path,
    conda_env: Any = None,
    mlflow_model: Any = None,
    code_paths: Any = None,
    pickle_module: Any = None,
    signature: Any = None,
    input_example: Any = None,
    extra_files: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: dict[str, Any] | None = None,
    export_model: bool = False,
    serialization_format: Literal["pickle", "pt2"] | None = None,
    **kwargs: Any,
) -> None:
    """Save a `torch.nn.Module` as the folder `path`.

    With an `input_example` it is exported (`torch.export`), which loads without trust; without
    one, or where it cannot be exported, it is pickled. `serialization_format` insists on one of
    the two. `kwargs` may hold `pickle_protocol`. Raises InvalidRequest.
    """
    _save(request_for(pytorch_model, "pytorch", **given(locals(), "pytorch_model", "path")), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    pytorch_model: Any,
    artifact_path: str | None = None,
    conda_env: Any = None,
    code_paths: Any = None,
    pickle_module: Any = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    extra_files: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: dict[str, Any] | None = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
    export_model: bool = False,
    serialization_format: Literal["pickle", "pt2"] | None = None,
    **kwargs: Any,
) -> ModelInfo:
    """Log a `torch.nn.Module`; in which form, see `save_model`."""
    return _log(pytorch_model, "pytorch", **given(locals(), "pytorch_model"))


def load_model(
    model_uri: str, dst_path: str | None = None, *, trust: bool = False, **kwargs: Any
) -> Any:
    """The module that was saved, in evaluation mode.

    `device` puts it on one; other `kwargs` are torch.load's, for models that are pickled. Those
    load where their signer is trusted, or with `trust=True`. An exported model comes back as the
    calculation that it is, a `torch.fx.GraphModule`, whose `exported_program` is what was saved.
    """
    return _load(model_uri, "pytorch", dst_path=dst_path, trust=trust, **kwargs)


def get_default_pip_requirements() -> list[str]:
    """What any model saved here needs, pinned to what is installed."""
    return default_requirements("torch", "cloudpickle")


def get_default_conda_env() -> dict[str, Any]:
    """The same as a conda environment."""
    return default_conda_env(get_default_pip_requirements())
