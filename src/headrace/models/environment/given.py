"""What a caller of save_model says of the environment, by MLflow's argument names."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from headrace.errors import InvalidRequest
from headrace.models.environment.installed import installed_packages, normalized_name
from headrace.models.environment.merging import merged, parsed_requirement
from headrace.models.environment.names import CONSTRAINTS_FILE
from headrace.models.environment.project import lock_files
from headrace.models.environment.requirement_files import (
    MAX_BYTES,
    Listed,
    name_of,
    read_file,
    read_lines,
)
from headrace.models.environment.requirements import MLFLOW_REQUIREMENT

_log: Final = logging.getLogger("headrace")
_MLFLOW: Final = frozenset(("mlflow", "mlflow-skinny", "mlflow-tracing"))
_CONDA_PYTHON: Final = re.compile(r"python\s*={1,2}\s*(?P<version>\d+(?:\.\d+)+)(?:=\S*)?")


class Settled(NamedTuple):
    """The environment that was settled on: lines of requirements.txt and constraints.txt, the
    conda environment the caller gave, and the Python version this names.
    """

    requirements: list[str]
    constraints: list[str]
    conda: dict[str, Any] | None = None
    python: str | None = None


@dataclass(frozen=True)
class Requirements:
    """The arguments of save_model about the environment; at most one of the first three.

    `pip_requirements` is the whole list: lines as in a requirements file, or the path of one.
    `extra_pip_requirements` adds to what is found. `conda_env` is a conda environment, as a
    dictionary or the path of a YAML file. With `verify`, the result is installed into a clean
    environment and tried. `uv_project_path` is the folder whose uv.lock goes beside the model.
    InvalidRequest where arguments exclude each other or have no sense.
    """

    pip_requirements: Sequence[str] | str | Path | None = None
    extra_pip_requirements: Sequence[str] | str | Path | None = None
    conda_env: Mapping[str, Any] | str | Path | None = None
    verify: bool = False
    uv_project_path: str | Path | None = None

    def __post_init__(self) -> None:
        names = ("conda_env", "pip_requirements", "extra_pip_requirements")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidRequest(
                f"Give one of {' and '.join(repr(name) for name in given)}: 'pip_requirements' "
                "and 'conda_env' say all that is needed, 'extra_pip_requirements' adds to what is "
                "found."
            )
        if self.conda_env is not None and not isinstance(self.conda_env, str | Path | Mapping):
            raise InvalidRequest(
                f"'conda_env' is {type(self.conda_env).__name__}; expected a dictionary or the "
                "path of a YAML file."
            )

    def check(self) -> None:
        """Raise InvalidRequest for what is known to be wrong before anything is written."""
        self.settle(lambda: [MLFLOW_REQUIREMENT], warn=False)
        if self.uv_project_path is not None:
            lock_files(self.uv_project_path)

    def settle(self, found: Callable[[], Sequence[str]], *, warn: bool = True) -> Settled:
        """The environment, where `found` gives the requirements that are found by looking.

        It is not called where the caller has listed all. MLflow's line is put first unless there
        is one. With `warn`, a warning says where other packages are installed than the caller's.
        """
        if self.conda_env is not None:
            return _from_conda(_conda_environment(self.conda_env), warn=warn)
        if self.pip_requirements is not None:
            listed = _listed(self.pip_requirements, "pip_requirements")
        else:
            extra = _listed(self.extra_pip_requirements or (), "extra_pip_requirements")
            if not extra.requirements and not extra.constraints:
                return Settled(_with_mlflow(list(found())), [])
            listed = Listed([*found(), *extra.requirements], extra.constraints)
        requirements = merged(_with_mlflow(listed.requirements))
        if warn:
            _warn_of_others(requirements)
        return Settled(_with_constraints(requirements, listed), listed.constraints)


def pip_part(environment: Mapping[str, Any]) -> list[str]:
    """The requirements for pip in a conda environment."""
    for each in environment.get("dependencies") or ():
        if isinstance(each, Mapping) and "pip" in each:
            return [str(line) for line in each["pip"] or ()]
    return []


def with_pip_part(environment: Mapping[str, Any], requirements: Sequence[str]) -> dict[str, Any]:
    """A conda environment with other requirements for pip, at the place where they were."""
    found = False
    dependencies: list[Any] = []
    for each in environment.get("dependencies") or ():
        if isinstance(each, Mapping) and "pip" in each:
            found, each = True, {"pip": list(requirements)}
        dependencies.append(each)
    if not found:
        dependencies.append({"pip": list(requirements)})
    return {**environment, "dependencies": dependencies}


def _from_conda(environment: dict[str, Any], *, warn: bool) -> Settled:
    listed = _listed(pip_part(environment), "conda_env")
    requirements = _with_mlflow(listed.requirements)
    for line in requirements:
        parsed_requirement(line)
    if warn:
        _warn_of_others(requirements)
    requirements = _with_constraints(requirements, listed)
    python = next(filter(None, map(_python_of, environment["dependencies"])), None)
    environment = with_pip_part(environment, requirements)
    return Settled(requirements, listed.constraints, environment, python)


def is_mlflow(requirement: str) -> bool:
    """Whether a line asks for MLflow, in one of its sizes."""
    return name_of(requirement) in _MLFLOW


def _with_mlflow(requirements: list[str]) -> list[str]:
    if any(map(is_mlflow, requirements)):
        return list(requirements)
    return [MLFLOW_REQUIREMENT, *requirements]


def _with_constraints(requirements: list[str], listed: Listed) -> list[str]:
    return [*requirements, f"-c {CONSTRAINTS_FILE}"] if listed.constraints else requirements


def _listed(given: Sequence[str] | str | Path, name: str) -> Listed:
    if isinstance(given, str | Path):
        return read_file(Path(given))
    lines: list[Any] = list(given)
    wrong = next((line for line in lines if not isinstance(line, str)), None)
    if wrong is not None:
        raise InvalidRequest(
            f"'{name}' has a value of type {type(wrong).__name__}; expected a list of lines as in "
            "a requirements file, or the path of one."
        )
    return read_lines(lines, Path.cwd())


def _conda_environment(given: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    from headrace.protocol.yaml_text import load_yaml

    document: Any = given
    if isinstance(given, str | Path):
        path = Path(given)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InvalidRequest(f"'conda_env' names '{path}', which is too large.")
            document = load_yaml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidRequest(
                f"'conda_env' names '{path}', which cannot be read: {error.strerror}."
            ) from None
        except ValueError as error:
            raise InvalidRequest(
                f"'conda_env' names '{path}', which is no YAML: {error}."
            ) from None
    if not isinstance(document, Mapping) or not isinstance(document.get("dependencies"), list):
        raise InvalidRequest(
            "'conda_env' is no conda environment; expected a mapping with a list 'dependencies', "
            "such as {'dependencies': ['python=3.11', {'pip': ['numpy==2.1.0']}]}."
        )
    return dict(document)


def _python_of(dependency: Any) -> str | None:
    match = _CONDA_PYTHON.fullmatch(dependency.strip()) if isinstance(dependency, str) else None
    return match["version"] if match else None


def _warn_of_others(requirements: Sequence[str]) -> None:
    """Say which packages are installed here in versions that the requirements do not allow."""
    installed = installed_packages()
    lines = []
    for text in requirements:
        parsed = parsed_requirement(text)
        if parsed is None or is_mlflow(text) or (parsed.marker and not parsed.marker.evaluate()):
            continue
        version = installed.get(normalized_name(parsed.name))
        if version is None or not parsed.specifier.contains(version, prereleases=True):
            lines.append(f" - {parsed.name}: required {text}, installed {version or 'not at all'}")
    if lines:
        _log.warning(
            "The requirements differ from what is installed here, where the model was made:\n%s",
            "\n".join(lines),
        )
