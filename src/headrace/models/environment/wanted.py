"""What a model's folder says of the environment it needs."""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.environment.given import is_mlflow, pip_part
from headrace.models.environment.merging import parsed_requirement
from headrace.models.environment.names import (
    CONDA_FILE,
    PYTHON_FILE,
    REQUIREMENTS_FILE,
    SCRIPT_FOR_MLFLOW,
)
from headrace.models.environment.requirement_files import (
    Listed,
    hide_credentials,
    name_of,
    read_file,
    read_lines,
)
from headrace.models.python_model_pickle import WRITTEN_NAMES

_log: Final = logging.getLogger("headrace")
_OF_MLFLOW: Final = re.compile(
    rb"mlflow\.(?!%s)"
    % b"|".join(re.escape(name.removeprefix("mlflow.").encode()) for name in sorted(WRITTEN_NAMES))
)
_FOR_SCORING: Final = ("cloudpickle", "numpy", "pandas")
"""What a worker of Headrace needs, beside what the model does, for requests of every kind. The last
two come with MLflow, so that models count on them.
"""
_MAX_YAML: Final = 1 << 20
_PYTHON: Final = re.compile(r"3\.\d{1,3}(?:\.\d{1,3}(?:[a-z]{1,2}\d{1,3})?)?\+?")
_CONDA_PYTHON: Final = re.compile(r"python\s*==?\s*(?P<version>[^=\s*]+?)(?:\.\*|=.*)?")
_EDITABLE: Final = re.compile(r"(?P<option>-e|--editable)(?:\s+|=)")


@dataclass(frozen=True)
class Wanted:
    """An environment that a model needs.

    `python` is a version; `build` what is installed first (setuptools); `paths` are the wheels and
    folders of the model that the requirements name, relative to it; `sources` are the files that
    all this was read from, as (relative name, SHA-256 in hex).
    """

    python: str
    build: tuple[str, ...]
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    paths: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def minor(self) -> str:
        """The Python version without its patch: 3.11."""
        return ".".join(self.python.split(".")[:2]).rstrip("+")

    def digest(self, folder: Path) -> str:
        """SHA-256 over all that is wanted, and over the files in `folder` that it names, in hex."""
        state = hashlib.sha256()
        for part in ((self.minor,), self.build, self.requirements, self.constraints):
            state.update("\n".join(part).encode() + b"\0")
        for path in self.paths:
            file = folder / path
            for each in sorted(file.rglob("*")) if file.is_dir() else [file]:
                if each.is_file():
                    state.update(f"{each.relative_to(folder).as_posix()}\0".encode())
                    with each.open("rb") as data:
                        state.update(hashlib.file_digest(data, "sha256").digest())
        return state.hexdigest()


def wanted_by(folder: Path, override: Sequence[str] = ()) -> Wanted:
    """What the model in `folder` needs, with the requirements in `override` instead of its own.

    MLflow's line is left out unless the model's code, or a pickle in it, names MLflow: Headrace
    loads the model. What a worker of Headrace needs is added. InvalidRequest for a folder that says
    nothing, or nothing that has sense.
    """
    folder = folder.resolve()
    python, build, listed = _stated(folder)
    if not _PYTHON.fullmatch(python):
        raise InvalidRequest(f"The model asks for Python {python!r}; expected such as 3.11.7.")
    replaced = _checked(override)
    names = {name_of(line) for line in replaced}
    keeps_mlflow = any(map(is_mlflow, listed.requirements)) and names_mlflow(folder)
    requirements, paths = list(replaced), []
    for line in listed.requirements:
        if name_of(line) in names or (is_mlflow(line) and not keeps_mlflow):
            continue
        path = _path_in(line, folder)
        requirements.append(path or line)
        paths += [path] if path else []
    listed_names = {name_of(line) for line in requirements}
    requirements += [name for name in _FOR_SCORING if name not in listed_names]
    constraints = [line for line in listed.constraints if name_of(line) not in names]
    setuptools = [line for line in build if name_of(line) == "setuptools"]
    return Wanted(
        python,
        tuple(setuptools),
        tuple(requirements),
        tuple(constraints),
        tuple(paths),
        tuple((path.relative_to(folder).as_posix(), sha) for path, sha in listed.files.items()),
    )


def names_mlflow(folder: Path) -> bool:
    """Whether Python files or pickles of a model name MLflow's modules, without loading any.

    What `dump_model` writes by MLflow's names does not count, as it loads without MLflow; nor does
    the script for ONNX Runtime GenAI, which only MLflow runs.
    """
    from headrace.models.environment.imports import modules_imported_by

    code = [
        *(file for file in folder.glob("*.py") if file.name != SCRIPT_FOR_MLFLOW),
        folder / "code",
    ]
    if any(name.partition(".")[0] == "mlflow" for name in modules_imported_by(code)):
        return True
    return any(map(_needs_mlflow, folder.rglob("*.pkl")))


def _needs_mlflow(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _OF_MLFLOW.search(data) is not None


def _stated(folder: Path) -> tuple[str, list[str], Listed]:
    """The Python version, the packages to build with, and what is listed."""
    read: dict[Path, str] = {}
    python, build = None, []
    if (folder / PYTHON_FILE).is_file():
        document = _yaml(folder / PYTHON_FILE, read)
        python, dependencies = document.get("python"), _strings(document, "dependencies")
        build = _strings(document, "build_dependencies")
        listed = read_lines(dependencies, folder, within=folder)
    else:
        conda = _yaml(folder / CONDA_FILE, read) if (folder / CONDA_FILE).is_file() else {}
        python = _conda_python(conda)
        if (folder / REQUIREMENTS_FILE).is_file():
            listed = read_file(folder / REQUIREMENTS_FILE, within=folder)
        elif conda:
            listed = read_lines(pip_part(conda), folder, within=folder)
        else:
            raise InvalidRequest(
                f"'{folder}' has neither {PYTHON_FILE}, {REQUIREMENTS_FILE} nor {CONDA_FILE}: it "
                "does not say what it needs. Use --env-manager local to run it with what is "
                "installed here."
            )
    listed.files.update(read)
    return str(python or platform.python_version()), build, listed


def _yaml(path: Path, read: dict[Path, str]) -> dict[str, Any]:
    from headrace.protocol.yaml_text import load_yaml

    try:
        if path.stat().st_size > _MAX_YAML:
            raise ValueError(f"it has more than {_MAX_YAML} bytes")
        data = path.read_bytes()
        document = load_yaml(data.decode())
        if not isinstance(document, dict):
            raise ValueError("it is no mapping")
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"The model's {path.name} cannot be read: {error}.") from None
    read[path] = hashlib.sha256(data).hexdigest()
    return document


def _strings(document: dict[str, Any], name: str) -> list[str]:
    values = document.get(name) or []
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise InvalidRequest(f"'{name}' in the model's {PYTHON_FILE} is no list of texts.")
    return values


def _conda_python(conda: dict[str, Any]) -> str | None:
    """The Python of a conda environment; a warning says what else of it is not installed."""
    python, others = None, []
    for each in conda.get("dependencies") or ():
        match = _CONDA_PYTHON.fullmatch(each) if isinstance(each, str) else None
        if match:
            python = match["version"]
        elif isinstance(each, str) and not re.match(r"(python|pip|setuptools|wheel)\b", each):
            others.append(each)
    if others:
        _log.warning(
            "These packages of conda are not installed, only those of pip: %s", ", ".join(others)
        )
    return python


def _checked(override: Iterable[str]) -> list[str]:
    lines = [line.strip() for line in override if line.strip()]
    for line in lines:
        if parsed_requirement(line) is None:
            raise InvalidRequest(
                f"'{hide_credentials(line)}' is no requirement to put instead of the model's; "
                "expected such as numpy==2.1.0."
            )
    return lines


def _path_in(line: str, folder: Path) -> str | None:
    """The path that a line of requirements names, relative to the model in which it must lie."""
    editable = _EDITABLE.match(line)
    rest = line[editable.end() :] if editable else line
    if "://" in rest or (not editable and (name_of(rest) or rest.startswith("-"))):
        return None
    path = Path(os.path.realpath(folder / rest))
    if not path.is_relative_to(folder) or not path.exists():
        raise InvalidRequest(
            f"The model needs '{rest}', a path that is not in its folder. Replace that line: "
            "headrace models update-pip-requirements."
        )
    return path.relative_to(folder).as_posix()
