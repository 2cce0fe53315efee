"""The folder that an image is built from: the Dockerfile and all that it copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headrace.deploy.dockerfile import MADE_BY, REQUIREMENTS, SIGNERS, dockerfile
from headrace.deploy.image import ImagePlan
from headrace.deploy.wheel import write_wheel
from headrace.errors import AlreadyExists, InvalidRequest
from headrace.models.environment.wanted import Wanted
from headrace.models.trust import SIGNATURE_FILE, VerifiedFolder

_DOCKERFILE: Final = "Dockerfile"
_IGNORE: Final = ".dockerignore"
_MODEL: Final = "model"
_FILES: Final = "files"
"""Wheels and folders of the model that its requirements name, below the requirements."""


def write_context(plan: ImagePlan, folder: Path) -> None:
    """Write all that `docker build` needs into a folder; what was made there before is replaced.

    Raises AlreadyExists for a folder with anything else in it; InvalidRequest where it cannot be
    written.
    """
    try:
        _make_empty(folder)
        wheel = write_wheel(folder).name
        if plan.wanted is not None and plan.model is not None:
            _write_requirements(plan.wanted, plan.model, folder / REQUIREMENTS)
        _write(folder / SIGNERS, ["# Whose models may run code in this image.", *plan.signers])
        if plan.is_baked and plan.model is not None:
            _copy_model(plan.model, folder / _MODEL)
        _write(folder / _IGNORE, ["*", *(f"!{name}" for name in _copied(wheel))])
        (folder / _DOCKERFILE).write_text(dockerfile(plan, wheel), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"'{folder}' cannot be written: {error}.") from error


def _copied(wheel: str) -> list[str]:
    return [wheel, REQUIREMENTS, SIGNERS, _MODEL]


def _make_empty(folder: Path) -> None:
    """Make the folder, without what was written here before."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {each.name for each in folder.iterdir()}
    if not there:
        return
    made = folder / _DOCKERFILE
    if not (made.is_file() and made.read_bytes().startswith(MADE_BY.encode())):
        raise AlreadyExists(
            f"The folder '{folder}' is not empty, and holds no Dockerfile of Headrace's; name "
            "another with --output-directory."
        )
    for each in folder.glob("headrace-*.whl"):
        each.unlink()
    for name in (REQUIREMENTS, _MODEL):
        shutil.rmtree(folder / name, ignore_errors=True)


def _write_requirements(wanted: Wanted, model: VerifiedFolder, folder: Path) -> None:
    folder.mkdir()
    lines = [f"./{_FILES}/{line}" if line in wanted.paths else line for line in wanted.requirements]
    _write(folder / "requirements.txt", lines)
    if wanted.build:
        _write(folder / "build.txt", wanted.build)
    if wanted.constraints:
        _write(folder / "constraints.txt", wanted.constraints)
    for path in wanted.paths:
        _copy(model.code_path(path, "a package"), folder / _FILES / path)


def _copy_model(model: VerifiedFolder, folder: Path) -> None:
    """The model's own files and its signature, which is checked anew when the image starts."""
    names = [*model.names, *([SIGNATURE_FILE] if model.signer or model.is_foreign else [])]
    for name in names:
        _copy(model.path / name, folder / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder so that the image's user, who owns none of it, can read it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_copy_file)
    else:
        _copy_file(source, target)
    for above in (target.parent, *(each for each in target.rglob("*") if each.is_dir())):
        above.chmod(0o755)


def _copy_file(source: str | Path, target: str | Path) -> None:
    shutil.copyfile(source, target)
    Path(target).chmod(0o644)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    path.chmod(0o644)
