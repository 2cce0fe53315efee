"""The files about the environment in a model's folder, as MLflow names and shapes them."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from headrace.models.environment.given import Requirements
from headrace.models.environment.installed import installed_packages
from headrace.models.environment.names import (
    CONDA_FILE,
    CONSTRAINTS_FILE,
    PYTHON_FILE,
    REQUIREMENTS_FILE,
)
from headrace.models.environment.project import lock_files

_BUILD_PACKAGES: Final = ("pip", "setuptools", "wheel")


def write_environment(
    folder: Path,
    given: Requirements | None = None,
    found: Callable[[], Sequence[str]] = list,
    modules: Iterable[str] = (),
) -> dict[str, str]:
    """Write what a model needs into its folder; the `env` entry of its python_function flavor.

    Written are requirements.txt, conda.yaml and python_env.yaml, constraints.txt where there are
    some, and the project's uv.lock with its pyproject.toml. `found` gives the requirements that
    were found by looking (`requirements_for`); it is called only where the caller has not listed
    all. With `given.verify`, they are installed into a clean environment, in which `modules` must
    import. InvalidRequest for what has no sense, before anything is written.
    """
    given = given or Requirements()
    settled, locked = given.settle(found), lock_files(given.uv_project_path)
    if given.verify:
        from headrace.models.environment.verify import verify_requirements

        code = folder / "code"
        verify_requirements(settled.requirements, settled.constraints, modules, code)
    _write_lines(folder / REQUIREMENTS_FILE, settled.requirements)
    if settled.constraints:
        _write_lines(folder / CONSTRAINTS_FILE, settled.constraints)
    write_yaml(
        folder / CONDA_FILE,
        settled.conda or conda_environment(settled.requirements),
        sort_keys=True,
    )
    write_yaml(folder / PYTHON_FILE, _python_environment(settled.python))
    for file in locked:
        shutil.copyfile(file, folder / file.name)
    return {"conda": CONDA_FILE, "virtualenv": PYTHON_FILE}


def write_yaml(path: Path, document: Any, *, sort_keys: bool = False) -> None:
    """Write a document of plain values. InvalidRequest where it has others."""
    from headrace.errors import InvalidRequest
    from headrace.protocol.yaml_text import dump_yaml

    try:
        text = dump_yaml(document, sort_keys=sort_keys)
    except ValueError as error:
        raise InvalidRequest(f"{path.name} cannot be written: {error}.") from None
    path.write_text(text, encoding="utf-8")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def conda_environment(requirements: Sequence[str]) -> dict[str, Any]:
    """The conda environment of this Python and these requirements, as conda.yaml holds it."""
    # conda's channels have a new pip later than PyPI does; an older one does as well.
    pip = installed_packages().get("pip")
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [
            f"python={platform.python_version()}",
            f"pip<={pip}" if pip else "pip",
            {"pip": list(requirements)},
        ],
    }


def _python_environment(python: str | None) -> dict[str, Any]:
    installed = installed_packages()
    build = [
        f"{name}=={installed[name]}" if name in installed else name for name in _BUILD_PACKAGES
    ]
    return {
        "python": python or platform.python_version(),
        "build_dependencies": build,
        "dependencies": [f"-r {REQUIREMENTS_FILE}"],
    }
