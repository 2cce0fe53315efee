"""Models by their URIs: on local disk, checked, and loaded.

`models:/m-<id>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, `runs:/<id>/<path>`,
artifact URIs, and folders.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from headrace.artifacts.open import local_path
from headrace.client.client import current_client
from headrace.client.model_cache import fetched
from headrace.errors import InvalidRequest, NotFound
from headrace.models import loading
from headrace.models.model import MODEL_FILE, ModelInfo, facts_of, info_of, no_model
from headrace.models.pyfunc import PyFuncModel
from headrace.protocol.uris import scheme_of

_NAMES: Final = ("models", "runs")
_SCHEMES: Final = (*_NAMES, "", "file", "mlflow-artifacts")


def local_model(model_uri: str | Path, dst_path: str | Path | None = None) -> Path:
    """The folder of a model on local disk: where it lies, or a copy that is fetched once.

    With `dst_path` it is copied into that folder. NotFound; InvalidRequest for no such URI.
    """
    uri = _uri_of(model_uri)
    if dst_path is not None:
        return Path(current_client()._download_uri(uri, str(dst_path)))
    if scheme_of(uri) in ("", "file"):
        folder = local_path(uri)
        if not folder.exists():
            raise no_model(folder)
        return folder
    place = current_client()._locate(uri)
    root = getattr(place.store, "root", None)
    if root is None:
        return fetched(place, uri)
    folder = Path(root) / place.path
    if not (folder / MODEL_FILE).is_file():
        raise no_model(uri)
    return folder


def _uri_of(model: Any) -> str:
    """A URI or path as text; of what `log_model` answered, its URI. InvalidRequest for others."""
    uri = getattr(model, "model_uri", model)
    if not isinstance(uri, str | os.PathLike):
        raise InvalidRequest(
            f"A model is loaded by its URI or folder (models:/churn/1, runs:/…, ./model), not by "
            f"this {type(model).__name__}."
        )
    scheme = scheme_of(str(uri))
    if scheme in _SCHEMES:
        return str(uri)
    # Before anything is asked: that could make a database, for nothing.
    if meant := get_close_matches(scheme, _NAMES, 1, 0.7):
        raise InvalidRequest(f"'{uri}' begins with '{scheme}:'; perhaps '{meant[0]}:' is meant.")
    raise InvalidRequest(
        f"Models at '{scheme}:' cannot be read: expected a folder, models:/…, runs:/… or "
        "mlflow-artifacts:/…. Copy the model to a folder first."
    )


def load_model(
    model_uri: str | Path,
    flavor: str | None = None,
    *,
    dst_path: str | Path | None = None,
    trust: bool = False,
    **options: Any,
) -> Any:
    """The object of the model's own library; see `models.loading.load_model`."""
    return loading.load_model(local_model(model_uri, dst_path), flavor, trust=trust, **options)


def load_pyfunc(
    model_uri: str | Path,
    model_config: Mapping[str, Any] | None = None,
    *,
    dst_path: str | Path | None = None,
    trust: bool = False,
) -> PyFuncModel:
    """The model as something that predicts; see `models.loading.load_pyfunc`."""
    return loading.load_pyfunc(local_model(model_uri, dst_path), model_config, trust=trust)


def get_model_info(model_uri: str | Path) -> ModelInfo:
    """What a model's folder says of itself, and for a logged model what the store knows of it.

    NotFound; InvalidRequest.
    """
    uri = _uri_of(model_uri)
    _, model = loading.open_model(local_model(uri))
    if model.model_id and scheme_of(uri) not in ("", "file"):
        with suppress(NotFound):  # files of a model that was logged elsewhere
            logged = current_client().get_logged_model(model.model_id)
            return info_of(model, logged.model_uri, **facts_of(logged))
    return info_of(model, uri)
