"""Artifacts of Python models, fetched by their URIs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headrace.client.artifacts import download_artifacts
from headrace.errors import InvalidRequest
from headrace.models.flavor import require
from headrace.models.flavors.python_function_artifacts import Artifact, artifacts_of
from headrace.protocol.uris import scheme_of

_HUB: Final = "hf:/"


def fetched_artifacts(artifacts: Any) -> dict[str, Artifact] | None:
    """What `artifacts` of save_model names, on local disk; None for None.

    Paths stay where they are; `runs:/…`, `models:/…` and artifact URIs are downloaded, and
    `hf:/owner/name` is fetched from the Hugging Face hub. NotFound; InvalidRequest.
    """
    if artifacts is None:
        return None
    if not isinstance(artifacts, Mapping):
        return artifacts_of(artifacts)  # says what is wrong
    return artifacts_of({name: _fetched(value) for name, value in artifacts.items()})


def _fetched(value: Any) -> Any:
    if not isinstance(value, str) or scheme_of(value) in ("", "file"):
        return value
    if value.startswith(_HUB):
        return Artifact(value, _from_hub(value.removeprefix(_HUB).strip("/")))
    return Artifact(value, Path(download_artifacts(value)))


def _from_hub(name: str) -> Path:
    require("huggingface_hub", "huggingface_hub", f"The artifact '{_HUB}{name}'")
    hub = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(repo_id=name))
    # The hub's library has many errors: no such model, no network, no access.
    except Exception as error:
        raise InvalidRequest(
            f"'{_HUB}{name}' cannot be fetched: {type(error).__name__}: {error}"
        ) from error
