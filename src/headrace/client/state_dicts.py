"""Weights of PyTorch models by themselves: a `state_dict` as an artifact, with MLflow's names.

They are read by PyTorch's restricted unpickler, which makes tensors and plain values only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest, NotFound

STATE_DICT_FILE: Final = "state_dict.pth"


def save_state_dict(state_dict: Mapping[str, Any], path: str | Path, **kwargs: Any) -> None:
    """Save weights, or a checkpoint of weights and numbers, in the folder `path`.

    `kwargs` are torch.save's. Raises InvalidRequest for what is no dictionary, such as a module.
    """
    import torch

    if not isinstance(state_dict, dict):
        raise InvalidRequest(
            f"A state_dict is a dictionary; this is a {type(state_dict).__qualname__}. Give "
            "module.state_dict(), or save the module with save_model."
        )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict, folder / STATE_DICT_FILE, **kwargs)


def log_state_dict(state_dict: Mapping[str, Any], artifact_path: str, **kwargs: Any) -> None:
    """Log weights as an artifact of the active run, below `artifact_path`. See save_state_dict."""
    from headrace.client.fluent import log_artifacts

    with tempfile.TemporaryDirectory() as folder:
        save_state_dict(state_dict, folder, **kwargs)
        log_artifacts(folder, artifact_path)


def load_state_dict(state_dict_uri: str, *, trust: bool = False, **kwargs: Any) -> Any:
    """The weights at a folder or URI that `log_state_dict` filled.

    Only tensors and plain values are read, which cannot run code; with `trust=True` anything that
    was pickled is. `kwargs` are torch.load's. Raises NotFound, and InvalidRequest for a file that
    holds more or is none.
    """
    import pickle
    import zipfile

    import torch

    from headrace.client.artifacts import download_artifacts

    file = Path(download_artifacts(str(state_dict_uri))) / STATE_DICT_FILE
    if not file.is_file():
        raise NotFound(f"There is no {STATE_DICT_FILE} at '{state_dict_uri}'.")
    kwargs.pop("weights_only", None)
    try:
        return torch.load(file, weights_only=not trust, **kwargs)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        way_out = "" if trust else " If you know where it is from, load it with trust=True."
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(
            f"'{state_dict_uri}' holds more than tensors and plain values, or is damaged: "
            f"{reason}{way_out}"
        ) from None
