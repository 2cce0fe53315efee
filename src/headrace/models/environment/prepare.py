"""The environment of a model, made with uv and kept by its content.

Environments lie in the cache, each in a folder named by a digest over all that goes into it. One
is used only when the file that is written last is there; a lock keeps two from building at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.cache import cache_root
from headrace.models.environment.names import REQUIREMENTS_FILE
from headrace.models.environment.uv_tool import run_uv
from headrace.models.environment.wanted import Wanted, wanted_by
from headrace.models.trust import VerifiedFolder, open_folder

OLDEST_PYTHON: Final = (3, 11)
_FORMAT: Final = "1"
"""Part of every key: another one where environments are made in another way."""
_READY: Final = "ready.json"
_REQUIREMENTS: Final = "wanted-requirements.txt"
_CONSTRAINTS: Final = "wanted-constraints.txt"
_WHY: Final = "a list of packages, which may run code when they are installed"


class PreparedEnvironment(NamedTuple):
    """An environment that is ready: its interpreter, its folder, and whether it is new."""

    python: Path
    folder: Path
    is_new: bool = False


class Plan(NamedTuple):
    """What is to be made and where: the folder is named by the content."""

    wanted: Wanted
    folder: Path

    def made(self) -> PreparedEnvironment | None:
        """The environment, if it is there and whole."""
        python = python_in(self.folder)
        if (self.folder / _READY).is_file() and os.access(python, os.X_OK):
            return PreparedEnvironment(python, self.folder)
        return None


def plan_for(folder: Path, override: Sequence[str] = ()) -> Plan:
    """What the environment of the model in `folder` is made of, with the requirements in
    `override` instead of its own. Nothing is made. InvalidRequest as `wanted_by` raises it.
    """
    wanted = wanted_by(folder, override)
    parts = (_FORMAT, wanted.digest(folder), sysconfig.get_platform(), sys.base_prefix)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return Plan(wanted, cache_root() / "environments" / f"py{wanted.minor}-{key}")


def prepare(
    folder: Path, *, override: Sequence[str] = (), trust: bool = False
) -> PreparedEnvironment:
    """The environment of the model in `folder`, made now if there is none of that content.

    In it is what the model requires and what every worker needs, and nothing of Headrace or what
    that depends on, so that this never clashes with what the model pins; `serving/worker/boot.py`
    brings Headrace into it. Installing packages runs code that the requirements choose, so that
    what is not made yet is made only for a model whose signer is trusted, or with `trust`. Raises
    NotTrusted; InvalidRequest where the Python or a package cannot be had or packages conflict;
    Unavailable where they cannot be reached.
    """
    plan = plan_for(folder, override)
    made = plan.made()
    if made is not None:
        return made
    verified = open_folder(folder, trust=trust)
    try:
        requirements = _trusted_lines(plan.wanted, verified)
        with _locked(plan.folder):
            made = plan.made()
            if made is not None:
                return made  # another process has made it meanwhile
            try:
                _build(plan, requirements)
            except BaseException:
                shutil.rmtree(plan.folder, ignore_errors=True)
                raise
    finally:
        verified.close()
    return PreparedEnvironment(python_in(plan.folder), plan.folder, is_new=True)


def check_sources(wanted: Wanted, verified: VerifiedFolder) -> None:
    """Raise NotTrusted unless what the model wants may be installed, and InvalidModel where a
    file that says so is not what was read before.
    """
    verified.require_trust(REQUIREMENTS_FILE, _WHY)
    for name, digest in wanted.sources:
        if hashlib.sha256(verified.code(name, _WHY)).hexdigest() != digest:
            raise InvalidModel(f"{name} of the model changed while it was read.")


def _trusted_lines(wanted: Wanted, verified: VerifiedFolder) -> list[str]:
    """The requirements, with paths of files that nobody changes any more. Errors as above."""
    check_sources(wanted, verified)
    places = {path: str(verified.code_path(path, "a package")) for path in wanted.paths}
    return [places.get(line, line) for line in wanted.requirements]


def _build(plan: Plan, requirements: Sequence[str]) -> None:
    shutil.rmtree(plan.folder, ignore_errors=True)  # what a process that died has left
    make_environment(plan.folder, plan.wanted)
    install(plan.folder, requirements, plan.wanted.constraints)
    ready = plan.folder / f"{_READY}.partial"
    ready.write_text(json.dumps({"python": plan.wanted.python}), encoding="utf-8")
    ready.replace(plan.folder / _READY)


def make_environment(folder: Path, wanted: Wanted) -> None:
    """Make an empty virtual environment with the wanted Python, and what is installed first."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    python = _find_python(wanted, folder.parent)
    run_uv(
        ["venv", "--quiet", "--no-project", "--python", python, folder],
        folder.parent,
        f"Python {wanted.minor}, which the model asks for, cannot be had. Install it (uv python "
        f"install {wanted.minor}), or run the model with --env-manager local",
    )
    if wanted.build:
        install(folder, wanted.build, ())


def install(folder: Path, requirements: Sequence[str], constraints: Sequence[str]) -> None:
    """Install requirements into an environment. They are handed over in a file, so that none of
    them is taken for an option of uv.
    """
    command = ["pip", "install", "--quiet", "--python", str(python_in(folder))]
    for option, name, lines in (
        ("--requirement", _REQUIREMENTS, requirements),
        ("--constraint", _CONSTRAINTS, constraints),
    ):
        if lines:
            path = folder / name
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            command += [option, name]
    run_uv(command, folder, "The packages that the model needs cannot be installed")


def _find_python(wanted: Wanted, folder: Path) -> str:
    """What uv is to make the environment from: the very version if it is there, else this
    interpreter, if it differs in the patch only, else any of that minor version, which uv fetches
    if the user's settings of uv let it.
    """
    minor = check_python(wanted)
    running = ".".join(map(str, sys.version_info[:3]))
    if wanted.python == running:
        return sys.executable
    try:
        exact = ["python", "find", "--no-project", "--no-python-downloads", "--system"]
        return run_uv([*exact, wanted.python], folder, "It is not here").strip()
    except InvalidRequest:
        return sys.executable if minor == sys.version_info[:2] else wanted.minor


def check_python(wanted: Wanted) -> tuple[int, ...]:
    """The minor version of Python that is wanted. InvalidRequest for one that is too old."""
    minor = tuple(int(part) for part in wanted.minor.split("."))
    if minor < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise InvalidRequest(
            f"The model asks for Python {wanted.minor}, and Headrace runs on {oldest} and newer. "
            "Run it with --env-manager local, or save it anew with a newer Python."
        )
    return minor


def python_in(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an environment; waits for a process that holds it."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # the system ends the lock with it
