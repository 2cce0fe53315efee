"""The packages that a program can import, with their versions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Final

_FOLDER: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def installed_packages() -> dict[str, str]:
    """Each installed package's version, by normalized name (PEP 503), in order.

    Read from the names of the folders that installers leave (PEP 376, 427), because opening a
    file for each package takes a hundred times as long; only a folder whose name does not say
    its version is opened. The first of several on the path counts, as it does for an import.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for name, version in _in_folder(folder or os.curdir):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def packages_text() -> str:
    """What is installed as lines `name==version`, which pip takes."""
    return "".join(f"{name}=={version}\n" for name, version in installed_packages().items())


def _in_folder(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = [name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return  # a zip file, or what is not there
    for name in sorted(names):
        match = _FOLDER.fullmatch(name)
        if match:
            yield match["name"], match["version"]
        elif (known := _from_metadata(os.path.join(folder, name))) is not None:
            yield known


def _from_metadata(path: str) -> tuple[str, str] | None:
    from importlib.metadata import PathDistribution
    from pathlib import Path

    try:
        metadata = PathDistribution(Path(path)).metadata
        name, version = metadata["Name"], metadata["Version"]
    except (OSError, KeyError, ValueError):
        return None
    return (name, version) if name and version else None
