"""The door that MLflow's users know: `headrace.pyfunc`, models written in Python.

The code of a model imports from here too, in a worker that has the model's own packages only. So
what saves, logs and fetches is loaded when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.models.model import ModelInfo
from headrace.models.model_config import config_of
from headrace.models.pyfunc import PyFuncModel, add_to_model
from headrace.models.python_model import PythonModel, PythonModelContext
from headrace.pyfunc import model, utils
from headrace.pyfunc.model import get_default_conda_env, get_default_pip_requirements

if TYPE_CHECKING:
    from headrace.client.model_requirements import get_model_dependencies

__all__ = [
    "PyFuncModel",
    "PythonModel",
    "PythonModelContext",
    "add_to_model",
    "get_default_conda_env",
    "get_default_pip_requirements",
    "get_model_dependencies",
    "load_model",
    "log_model",
    "model",
    "save_model",
    "utils",
]

FLAVOR_NAME = "python_function"
_OWN = ("path", "python_model", "uv_groups", "uv_extras")


def __getattr__(name: str) -> Any:
    if name != "get_model_dependencies":
        raise AttributeError(f"module 'headrace.pyfunc' has no attribute {name!r}")
    from headrace.client.model_requirements import get_model_dependencies

    return get_model_dependencies


def save_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    path: str | Path,
    loader_module: str | None = None,
    data_path: str | Path | None = None,
    code_paths: Any = None,
    infer_code_paths: bool = False,
    conda_env: Any = None,
    mlflow_model: Any = None,
    python_model: Any = None,
    artifacts: Mapping[str, Any] | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: dict[str, Any] | None = None,
    model_config: Any = None,
    streamable: bool | None = None,
    resources: Any = None,
    auth_policy: Any = None,
    uv_project_path: str | Path | None = None,
    uv_groups: list[str] | None = None,
    uv_extras: list[str] | None = None,
    **kwargs: Any,
) -> None:
    """Save a model written in Python as a folder; see the guide to models in Python."""
    options = _options(locals())
    from headrace.models import saving

    saving.save_model(saving.request_for(python_model, FLAVOR_NAME, **options), path)


def log_model(  # noqa: PLR0913, PLR0917 - MLflow's signature
    artifact_path: str | None = None,
    loader_module: str | None = None,
    data_path: str | Path | None = None,
    code_paths: Any = None,
    infer_code_paths: bool = False,
    conda_env: Any = None,
    python_model: Any = None,
    artifacts: Mapping[str, Any] | None = None,
    registered_model_name: str | None = None,
    signature: Any = None,
    input_example: Any = None,
    await_registration_for: int | None = 300,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: dict[str, Any] | None = None,
    model_config: Any = None,
    streamable: bool | None = None,
    resources: Any = None,
    auth_policy: Any = None,
    uv_project_path: str | Path | None = None,
    uv_groups: list[str] | None = None,
    uv_extras: list[str] | None = None,
    prompts: list[Any] | None = None,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    model_type: str | None = None,
    step: int = 0,
    model_id: str | None = None,
) -> ModelInfo:
    """Log a model written in Python; see the guide to models in Python."""
    options = _options(locals())
    from headrace.client import model_logging

    return model_logging.log_model(python_model, FLAVOR_NAME, **options)


def load_model(
    model_uri: str,
    suppress_warnings: bool = False,  # noqa: ARG001 - MLflow's
    dst_path: str | None = None,
    model_config: Any = None,
    *,
    trust: bool = False,
) -> PyFuncModel:
    """Load a model of any library, or one written in Python, as something that predicts.

    `model_config`, a dictionary or the path of a YAML file, goes over what was saved. `trust` is
    your word that the code in it may run, whoever has signed it. `suppress_warnings` is MLflow's;
    there is nothing to suppress.
    """
    from headrace.client.model_loading import load_pyfunc

    return load_pyfunc(model_uri, config_of(model_config), dst_path=dst_path, trust=trust)


def _options(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model written in Python, with files fetched and read."""
    from headrace.client.model_artifacts import fetched_artifacts
    from headrace.models.saving import given

    found = given(arguments, *_OWN)
    found["artifacts"] = fetched_artifacts(found["artifacts"])
    found["model_config"] = config_of(found["model_config"]) or None
    if found.get("prompts") is not None:
        found["prompts"] = [str(getattr(prompt, "uri", prompt)) for prompt in found["prompts"]]
    return found
