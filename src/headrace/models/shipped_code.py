"""Modules that models bring along in their folder `code`."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Lock
from typing import Final

_lock: Final = Lock()
_folders: Final[list[str]] = []
"""The folders that modules of models were imported from."""


def import_from(folder: Path) -> None:
    """Have modules found in `folder` first; those of other models by the same names give way.

    Two models may each bring a `helper.py`: what the first has imported stays with its own
    functions, and the second imports its own file. (MLflow's models would all get the first one.)
    """
    own = str(folder)
    with _lock:
        others = [each for each in _folders if each != own]
        for name in _names_in(folder):
            _forget(name, others)
        if own in sys.path:
            sys.path.remove(own)
        sys.path.insert(0, own)
        if own not in _folders:
            _folders.append(own)


def _names_in(folder: Path) -> set[str]:
    """The modules that can be imported from a folder, by their names."""
    return {each.name.partition(".")[0] for each in folder.iterdir()}


def _forget(name: str, folders: list[str]) -> None:
    """Have `name` imported anew, with all below it, if it came from one of these folders."""
    for loaded, module in list(sys.modules.items()):
        if loaded == name or loaded.startswith(f"{name}."):
            file = getattr(module, "__file__", None) or ""
            if any(Path(file).is_relative_to(folder) for folder in folders):
                del sys.modules[loaded]
