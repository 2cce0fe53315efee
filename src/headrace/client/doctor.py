"""What somebody who is to help needs to know about an installation."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from headrace import settings, version
from headrace.client import tracking
from headrace.client.active import active_run
from headrace.client.command_line import masked


def doctor(mask_envs: bool = False) -> None:
    """Print what a report of a fault should tell: versions, where runs are tracked, settings.

    Passwords and tokens are never shown; with `mask_envs` no setting's value is.
    """
    for name, value in _facts(mask_envs):
        sys.stdout.write(f"{name}: {value}\n")


def _facts(mask_envs: bool) -> Iterator[tuple[str, str]]:
    yield "System", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "Python", platform.python_version()
    yield "Headrace", version.VERSION
    yield "Installed at", str(Path(version.__file__).parent)
    yield "Tracking URI", _shown(tracking.get_tracking_uri())
    yield "Registry URI", _shown(tracking.get_registry_uri())
    run = active_run()
    if run is not None:
        yield "Active run", run.info.run_id
        yield "Artifacts of the active run", run.info.artifact_uri
    for name, value in _settings(mask_envs):
        yield f"Setting {name}", value
    for name, installed in _dependencies():
        yield f"Package {name}", installed


def _settings(mask_envs: bool) -> Iterator[tuple[str, str]]:
    known = {name: each for each in settings.all_variables() for name in each.names}
    for name in sorted(known.keys() & os.environ.keys()):
        hidden = mask_envs or known[name].secret
        yield name, "***" if hidden else _shown(os.environ[name])


def _shown(text: str) -> str:
    return masked([text])[0]


def _dependencies() -> Iterator[tuple[str, str]]:
    for requirement in sorted(metadata.requires("headrace") or ()):
        name = requirement.partition(";")[0].split(">")[0].split("[")[0].strip()
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra that is not installed
