"""What models need, by their URIs: read, found and changed."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace.client.model_changes import change_model
from headrace.client.model_loading import local_model
from headrace.errors import InvalidRequest, NotFound
from headrace.models.environment.given import pip_part
from headrace.models.environment.names import CONDA_FILE, REQUIREMENTS_FILE
from headrace.models.environment.saved import infer_requirements
from headrace.models.environment.update import updated_files
from headrace.models.trust.changes import Reads

_log: Final = logging.getLogger("headrace")


def update_model_requirements(
    model_uri: str | Path,
    operation: str,
    requirement_list: Sequence[str],
    *,
    trust: bool = False,
) -> None:
    """Add requirements to a model, or remove some, in requirements.txt and conda.yaml (MLflow's
    name and arguments); a signed model is signed anew.

    `operation` is "add", which replaces those for the same package, or "remove", which takes them
    out whatever their version. `model_uri` names a folder, an artifact URI, `runs:/…` or
    `models:/m-…`; models by their registered name are read-only. Errors as of `updated_files`;
    NotFound.
    """

    def updated(read: Reads, name: str) -> dict[str, bytes]:
        return updated_files(read, operation, requirement_list, name=name, trust=trust)

    change_model(model_uri, updated)


def get_model_dependencies(model_uri: str | Path, format: str = "pip") -> str:  # noqa: A002 - MLflow's signature
    """The local path of the file that says what a model needs (MLflow's name and arguments).

    `format` is "pip" for requirements.txt (made from conda.yaml where a model has none), or
    "conda" for conda.yaml. NotFound; InvalidRequest.
    """
    if format not in ("pip", "conda"):
        raise InvalidRequest(f"'format' is {format!r}; expected 'pip' or 'conda'.")
    folder = local_model(model_uri)
    wanted = folder / (REQUIREMENTS_FILE if format == "pip" else CONDA_FILE)
    if wanted.is_file():
        return str(wanted)
    if format == "conda" or not (folder / CONDA_FILE).is_file():
        raise NotFound(f"The model '{model_uri}' has no {wanted.name}.")
    return str(_requirements_of_conda(folder / CONDA_FILE))


def infer_pip_requirements(
    model_uri: str | Path,
    flavor: str,
    fallback: list[str] | None = None,
    timeout: float | None = None,  # noqa: ARG001 - MLflow's signature; nothing here takes long
    extra_env_vars: dict[str, str] | None = None,  # noqa: ARG001 - MLflow's signature; no process
    uv_project_dir: str | Path | None = None,  # noqa: ARG001 - MLflow's signature; no lock is asked
    uv_groups: list[str] | None = None,  # noqa: ARG001 - MLflow's signature
    uv_extras: list[str] | None = None,  # noqa: ARG001 - MLflow's signature
) -> list[str]:
    """Pinned requirements of a saved model (MLflow's name and arguments), without MLflow's line.

    They are found in its files; the model is not loaded, and no process is started. `fallback` is
    given back where the model cannot be had; without it that is NotFound or InvalidRequest.
    """
    try:
        return infer_requirements(local_model(model_uri), flavor)[1:]
    except (InvalidRequest, NotFound):
        if fallback is None:
            raise
        return fallback


def _requirements_of_conda(path: Path) -> Path:
    from headrace.protocol.yaml_text import load_yaml

    try:
        environment = load_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRequest(f"The model's {path.name} is no YAML: {error}.") from None
    lines = pip_part(environment) if isinstance(environment, dict) else []
    target = Path(tempfile.mkdtemp(prefix="headrace-"), REQUIREMENTS_FILE)
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    _log.info("The packages of pip in %s are in %s; those of conda are not.", path, target)
    return target
