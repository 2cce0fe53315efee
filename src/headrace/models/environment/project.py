"""The lock of the uv project that a model was made in, kept beside the model.

The names of the files and of the two settings are MLflow's. The requirements stay what an
environment is made from; the lock says with which versions of all else they were used.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.errors import InvalidRequest

LOCK_FILE: Final = "uv.lock"
PROJECT_FILE: Final = "pyproject.toml"
VERSION_FILE: Final = ".python-version"

_log: Final = logging.getLogger("headrace")
_CREDENTIALS: Final = re.compile(rb"://[^/\s@\"']+:[^/\s@\"']+@")


def lock_files(project: str | Path | None = None) -> list[Path]:
    """The files of a project that are kept with its models: uv.lock, pyproject.toml and, where it
    is there, .python-version.

    The project is the one given, else the nearest folder from the working folder up to the root
    of its checkout that has the first two. InvalidRequest where a given one has them not. None
    where a setting says so, or where a file has a password in a URL.
    """
    source = _given(Path(project)) if project is not None else find_project(Path.cwd())
    if source is None or not settings.LOG_UV_FILES.get_bool(True):
        return []
    files = [source / name for name in (LOCK_FILE, PROJECT_FILE, VERSION_FILE)]
    files = [file for file in files if file.is_file()]
    for file in files:
        if _CREDENTIALS.search(file.read_bytes()):
            _log.warning(
                "The uv.lock of the project is not kept with the model, because %s has a "
                "password in a URL; put it into ~/.netrc or a variable of uv.",
                file,
            )
            return []
    return files


def find_project(start: Path) -> Path | None:
    """The nearest folder from `start` up to the root of its git checkout that uv has locked; only
    `start` itself where it is in no checkout. None where the setting says not to look.
    """
    if not settings.UV_AUTO_DETECT.get_bool(True):
        return None
    start = start.resolve()
    folders = [start]
    root = next((each for each in (start, *start.parents) if (each / ".git").exists()), start)
    for parent in start.parents:
        if not parent.is_relative_to(root):
            break
        folders.append(parent)
    return next(filter(_is_project, folders), None)


def _given(project: Path) -> Path:
    if not _is_project(project):
        raise InvalidRequest(
            f"'uv_project_path' names '{project}', which has no {LOCK_FILE} and {PROJECT_FILE}."
        )
    return project


def _is_project(folder: Path) -> bool:
    return (folder / LOCK_FILE).is_file() and (folder / PROJECT_FILE).is_file()
