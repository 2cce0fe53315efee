"""Building an image with Docker, and MLflow's function that does so."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from headrace.deploy.context import write_context
from headrace.deploy.image import plan_image
from headrace.errors import InvalidRequest, Unavailable
from headrace.models.environment.uv_tool import uv_environment

_log: Final = logging.getLogger("headrace")
_MANAGERS: Final = (None, "uv", "virtualenv")
_NAME: Final = re.compile(r"[a-z0-9][\w.:/@-]{0,400}")
_SHOWN: Final = 4000
_DEFAULT_INDEX: Final = re.compile(r"UV_(DEFAULT_INDEX|INDEX_URL)")
_EXTRA_INDEX: Final = re.compile(r"UV_(INDEX|EXTRA_INDEX_URL)")
_LABEL: Final = re.compile(r"^[\w.-]+=(?=[a-z]+:)")


def build_docker(  # noqa: PLR0913 - MLflow's signature
    model_uri: str | None = None,
    name: str = "mlflow-pyfunc",
    env_manager: str | None = "virtualenv",
    mlflow_home: str | None = None,
    install_java: bool = False,
    install_mlflow: bool = False,
    base_image: str | None = None,
    *,
    mount: bool = False,
    trust: bool = False,
) -> None:
    """Build the image `name`, which serves a model on port 8080.

    See `plan_image` for what is in it, and for errors. `mount` leaves the model's files out.
    Raises InvalidRequest for MLflow's options that have no meaning here, and where the image
    cannot be built; Unavailable where no Docker engine runs.
    """
    check_options(env_manager, mlflow_home, install_java=install_java)
    if install_mlflow:
        explain_mlflow()
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"'{name}' names no image; expected such as churn:1.")
    docker = _running_docker()
    plan = plan_image(model_uri, mount=mount, trust=trust, base_image=base_image)
    with tempfile.TemporaryDirectory(prefix="headrace-image-") as temporary:
        context = Path(temporary, "context")
        write_context(plan, context)
        secrets = _index_secrets(Path(temporary), uv_environment())
        command = [docker, "build", "--tag", name, *secrets, str(context)]
        ended = subprocess.run(  # noqa: S603 - our own command, no shell
            command, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=False
        )
    if ended.returncode:
        raise InvalidRequest(
            f"Docker did not build the image (status {ended.returncode}); what it said is above. "
            "To look at the steps: headrace models generate-dockerfile."
        )


def check_options(env_manager: str | None, mlflow_home: str | None, *, install_java: bool) -> None:
    """Refuse what MLflow's images can be told and ours cannot. InvalidRequest."""
    if env_manager not in _MANAGERS:
        raise InvalidRequest(
            f"'env_manager' is {env_manager!r}: the environment in an image is made by uv from "
            "what the model needs. Leave it out, or say 'uv' (or 'virtualenv', which is the same)."
        )
    if mlflow_home is not None:
        raise InvalidRequest(
            "'mlflow_home' names a source of MLflow's to install, but Headrace serves the model in "
            "the image, and puts itself there. Leave it out."
        )
    if install_java:
        raise InvalidRequest(
            "'install_java' is for models of Spark, which Headrace does not serve. For a model "
            "that needs Java otherwise, give a base image that has it: base_image (--base-image)."
        )


def explain_mlflow() -> None:
    """Say what becomes of the wish to have MLflow in the image."""
    _log.warning(
        "MLflow is not installed into the image for serving: Headrace serves the model. A model "
        "whose own code imports MLflow has it in its environment, by its requirements."
    )


def _running_docker() -> str:
    """The docker command, if its engine answers. Raises Unavailable, and says what to do."""
    found = shutil.which("docker")
    said = "there is no command 'docker'"
    if found is not None:
        asked = subprocess.run(  # noqa: S603 - our own command, no shell
            [found, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            return found
        said = asked.stderr.strip()[-_SHOWN:] or f"docker ended with status {asked.returncode}"
    raise Unavailable(
        f"No Docker engine runs here ({said}). Write the image's Dockerfile and build it where one "
        "runs: headrace models generate-dockerfile -m MODEL -d FOLDER."
    )


def _index_secrets(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """Options that hand this user's indexes of packages to the build, and leave no trace there."""
    own = variables.get("UV_CONFIG_FILE") or str(_uv_configuration(variables))
    defaults, extra = (_urls(variables, names) for names in (_DEFAULT_INDEX, _EXTRA_INDEX))
    options = []
    if defaults or extra:
        lines = [f"index-url = {json.dumps(defaults[0])}"] if defaults else []
        lines += [f"extra-index-url = {json.dumps(extra)}"] if extra else []
        if strategy := variables.get("UV_INDEX_STRATEGY"):
            lines.append(f"index-strategy = {json.dumps(strategy)}")
        options += _secret("uv.toml", _private(folder / "uv.toml", lines))
    elif Path(own).is_file():
        options += _secret("uv.toml", Path(own))
    if defaults:
        lines = ["[global]", f"index-url = {defaults[0]}"]
        options += _secret("pip.conf", _private(folder / "pip.conf", lines))
    return options


def _urls(variables: Mapping[str, str], names: re.Pattern[str]) -> list[str]:
    """What the variables of these names hold, without the labels that uv lets an index have."""
    values = [value for name, value in variables.items() if names.fullmatch(name)]
    return [_LABEL.sub("", url) for value in values for url in value.split()]


def _uv_configuration(variables: Mapping[str, str]) -> Path:
    home = variables.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "uv" / "uv.toml"


def _secret(name: str, path: Path) -> list[str]:
    return ["--secret", f"id={name},src={path}"]


def _private(path: Path, lines: list[str]) -> Path:
    path.touch(mode=0o600)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
