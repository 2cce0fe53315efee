"""What a model needs, as pinned requirements: found in a few milliseconds, with no child process.

MLflow loads the saved model in a fresh interpreter to see what it imports. Here the flavor, the
modules of the saved object's classes and the imports of shipped code say it, and what is installed
says the versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headrace.models.environment.installed import installed_packages, normalized_name
from headrace.models.environment.owners import owners_of
from headrace.version import MLFLOW_VERSION

MLFLOW_REQUIREMENT: Final = f"mlflow=={MLFLOW_VERSION}"
"""The MLflow whose format is written, and which loads it elsewhere."""

_LEFT_OUT: Final = frozenset(
    ("headrace", "mlflow", "mlflow-skinny", "mlflow-tracing", "pip", "setuptools", "wheel")
)
"""What loads the model has its own line, and installers are in every environment."""
_NAME: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*")


def requirements_for(
    packages: Iterable[str] = (),
    modules: Iterable[str] = (),
    code_files: Iterable[Path] = (),
) -> list[str]:
    """Pinned requirements, the one for MLflow first and the others in order of their names.

    `packages` are a flavor's own, by the names of the index, extras in brackets kept; one that
    brings its own version condition stays as it is, one whose module another package has brought
    (onnxruntime-gpu) is that one, and one that is not installed stays without a version. `modules`
    are names of modules that must be importable; `code_files` are files and folders of shipped
    code, whose imports count. Modules of the standard library, of local code and of Headrace need
    nothing. Local version labels are left out, as indexes do not have them (`torch==2.13.0` for
    2.13.0+cpu), which is what MLflow does.
    """
    from headrace.models.environment.imports import modules_imported_by

    installed = installed_packages()
    found: dict[str, str] = {}
    for owner in owners_of({*modules, *modules_imported_by(code_files)}):
        found[owner.name] = f"{owner.name}=={public_version(owner.version)}"
    for package in packages:
        name, requirement = _pinned(package, installed)
        found[name] = requirement
    wanted = sorted(item for item in found.items() if item[0] not in _LEFT_OUT)
    return [MLFLOW_REQUIREMENT, *(requirement for _name, requirement in wanted)]


def public_version(version: str) -> str:
    """A version without its local label (PEP 440): what an index may have of it."""
    return version.partition("+")[0]


def _pinned(package: str, installed: dict[str, str]) -> tuple[str, str]:
    match = _NAME.match(package)
    assert match, f"{package!r} names no package"
    name = normalized_name(match["name"])
    version = installed.get(name)
    if match.end() < len(package):
        return name, package.strip()
    if version is None:
        for owner in sorted(owners_of({name.replace("-", "_")})):
            return owner.name, f"{owner.name}=={public_version(owner.version)}"
        return name, package.strip()
    return name, f"{name}{match['extras'] or ''}=={public_version(version)}"
