"""What models need, by their URIs: read, found and changed."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from headrace.artifacts import transfer
from headrace.artifacts.open import ArtifactPlace, local_path
from headrace.client.client import current_client
from headrace.client.model_loading import local_model
from headrace.errors import InvalidRequest, NotFound
from headrace.models.environment.given import pip_part
from headrace.models.environment.names import CONDA_FILE, REQUIREMENTS_FILE
from headrace.models.environment.saved import infer_requirements
from headrace.models.environment.update import updated_files
from headrace.protocol.uris import LoggedModelUri, parse_models_uri, scheme_of

_log: Final = logging.getLogger("headrace")
_MAX_BYTES: Final = 64 << 20
"""Of a file that is changed: a signature over 100,000 files has half of it."""


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
    uri = str(model_uri)
    if scheme_of(uri) == "models" and not isinstance(parse_models_uri(uri), LoggedModelUri):
        raise InvalidRequest(
            f"'{uri}' names a registered version, which is read-only. Change the logged model it "
            "was made from (models:/m-…), and register it anew."
        )
    name = uri.rstrip("/").rpartition("/")[2] or "model"

    def updated(read: Callable[[str], bytes | None]) -> dict[str, bytes]:
        return updated_files(read, operation, requirement_list, name=name, trust=trust)

    if scheme_of(uri) in ("", "file"):
        folder = local_path(uri)
        _write_folder(folder, updated(lambda file: _read_file(folder / file)))
    else:
        place = current_client()._locate(uri)
        _upload(place, updated(lambda file: _read_place(place.below(file))))


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


def _read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return _bounded(file.read(_MAX_BYTES + 1), path.name)
    except FileNotFoundError:
        return None


def _read_place(place: ArtifactPlace) -> bytes | None:
    try:
        with place.store.read(place.path) as reader:
            return _bounded(b"".join(reader.chunks(0, _MAX_BYTES + 1)), place.path)
    except NotFound:
        return None


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > _MAX_BYTES:
        raise InvalidRequest(f"'{name}' of the model has more than {_MAX_BYTES} bytes.")
    return data


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(folder / name)


def _upload(place: ArtifactPlace, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        for name, data in files.items():
            source = Path(temporary, name)
            source.write_bytes(data)
            target = place.below(name)
            transfer.upload_file(target.store, source, target.path)
