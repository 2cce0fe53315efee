"""URIs that name things rather than places: runs:/, models:/, mlflow-artifacts:/."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.errors import InvalidRequest

_LOGGED_MODEL = re.compile(r"m-[0-9a-zA-Z]{32}")


@dataclass(frozen=True)
class RunUri:
    """`runs:/<run id>/<path>`: a file or folder of a run."""

    run_id: str
    path: str


@dataclass(frozen=True)
class LoggedModelUri:
    """`models:/m-<id>`: a logged model."""

    model_id: str


@dataclass(frozen=True)
class RegistryUri:
    """`models:/<name>/<version, stage or latest>` or `models:/<name>@<alias>`.

    Exactly one of `version`, `stage` and `alias` is set; `latest` is kept as the alias that it is.
    """

    name: str
    version: str | None = None
    stage: str | None = None
    alias: str | None = None


@dataclass(frozen=True)
class ProxyUri:
    """`mlflow-artifacts:/<path>`: a place under a tracking server's artifact root."""

    path: str


def parse_run_uri(uri: str) -> RunUri:
    """Split `runs:/<run id>/<path>`. Raises InvalidRequest."""
    rest = _rest(uri, "runs", "runs:/<run id>/<path>")
    run_id, _, path = rest.partition("/")
    if not run_id:
        raise InvalidRequest(f"{uri!r} names no run: expected 'runs:/<run id>/<path>'.")
    return RunUri(run_id, path.strip("/"))


def parse_models_uri(uri: str) -> LoggedModelUri | RegistryUri:
    """Read any of the forms of `models:/`. Raises InvalidRequest."""
    forms = "'models:/m-<id>', 'models:/<name>/<version>', 'models:/<name>@<alias>'"
    rest = _rest(uri, "models", forms).strip("/")
    if _LOGGED_MODEL.fullmatch(rest):
        return LoggedModelUri(rest)
    name, slash, part = rest.partition("/")
    if slash and name and part and "/" not in part:
        if part.isdigit():
            return RegistryUri(name, version=part)
        if part.lower() == "latest":
            return RegistryUri(name, alias="latest")
        return RegistryUri(name, stage=part)
    name, at, alias = rest.rpartition("@")
    if at and name and alias and "/" not in rest:
        return RegistryUri(name, alias=alias)
    raise InvalidRequest(f"{uri!r} is not a model's URI: expected one of {forms}.")


def parse_proxy_uri(uri: str) -> ProxyUri:
    """Split `mlflow-artifacts:/<path>` or `mlflow-artifacts://<host>/<path>`."""
    rest = _rest(uri, "mlflow-artifacts", "mlflow-artifacts:/<path>")
    return ProxyUri(rest.strip("/"))


def scheme_of(uri: str) -> str:
    """The scheme in lower case; '' for a plain path."""
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.\-]*):", uri)
    return match.group(1).lower() if match else ""


def join(uri: str, *parts: str) -> str:
    """`uri` with path parts behind it, a single slash between them."""
    joined = uri.rstrip("/")
    for part in parts:
        if part.strip("/"):
            joined = f"{joined}/{part.strip('/')}"
    return joined


def _rest(uri: str, scheme: str, expected: str) -> str:
    prefix = f"{scheme}:"
    if not uri.startswith(prefix):
        raise InvalidRequest(f"{uri!r} does not begin with '{prefix}/': expected {expected}.")
    rest = uri[len(prefix) :]
    if rest.startswith("//"):
        rest = rest[2:].partition("/")[2] if not rest.startswith("///") else rest[3:]
    return rest.lstrip("/")
