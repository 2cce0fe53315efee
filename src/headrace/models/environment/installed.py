"""The packages that a program can import, with their versions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from headrace.forks import undivided

_FOLDER: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")


class Installed(NamedTuple):
    """An installed package: its normalized name (PEP 503), its version, the folder about it."""

    name: str
    version: str
    folder: str


def normalized_name(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_packages() -> dict[str, str]:
    """Each installed package's version, by normalized name (PEP 503), in order.

    Read from the names of the folders that installers leave (PEP 376, 427), because opening a
    file for each package takes a hundred times as long; only a folder whose name does not say
    its version is opened. The first of several on the path counts, as it does for an import.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for package in packages_in(folder):
            found.setdefault(package.name, package.version)
    return dict(sorted(found.items()))


def packages_text() -> str:
    """What is installed as lines `name==version`, which pip takes."""
    return "".join(f"{name}=={version}\n" for name, version in installed_packages().items())


def packages_in(folder: str) -> Sequence[Installed]:
    """The packages installed into one folder of `sys.path`, in order of their folders' names."""
    folder = folder or os.curdir
    try:
        # Installing or removing a package changes the time of the folder.
        return _listed(os.path.abspath(folder), os.stat(folder).st_mtime_ns)
    except OSError:
        return ()  # a zip file, or what is not there


@lru_cache(maxsize=64)
def _listed(folder: str, changed: int) -> tuple[Installed, ...]:  # noqa: ARG001  (part of the cache's key)
    names = [name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))]
    found: list[Installed] = []
    for name in sorted(names):
        path = os.path.join(folder, name)
        match = _FOLDER.fullmatch(name)
        if match:
            found.append(Installed(normalized_name(match["name"]), match["version"], path))
        elif (known := _from_metadata(path)) is not None:
            found.append(Installed(normalized_name(known[0]), known[1], path))
    return tuple(found)


def _from_metadata(path: str) -> tuple[str, str] | None:
    with undivided():  # a run notes its packages in a thread; to read this imports more
        from importlib.metadata import PathDistribution
        from pathlib import Path

        try:
            metadata = PathDistribution(Path(path)).metadata
            name, version = metadata["Name"], metadata["Version"]
        except (OSError, KeyError, ValueError):
            return None
    return (name, version) if name and version else None
