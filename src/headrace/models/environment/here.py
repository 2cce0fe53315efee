"""Whether the environment that is running has what a model asks for."""

from __future__ import annotations

import sys
from pathlib import Path

from headrace.models.environment.installed import installed_packages, normalized_name
from headrace.models.environment.merging import parsed_requirement
from headrace.models.environment.wanted import wanted_by


def unmet_here(folder: Path) -> list[str]:
    """What the model in `folder` asks for and is not here, as lines for people; empty where all is.

    The Python is compared by its minor version, packages by the versions that the model allows.
    A requirement that cannot be judged (a path, an address) counts as not here. InvalidRequest as
    `wanted_by` raises it.
    """
    wanted = wanted_by(folder)
    running = ".".join(map(str, sys.version_info[:2]))
    unmet = [] if wanted.minor == running else [f"Python {wanted.minor} (here: {running})"]
    installed = installed_packages()
    for line in wanted.requirements:
        requirement = parsed_requirement(line)
        if requirement is None:
            unmet.append(f"{line} (not compared)")
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = installed.get(normalized_name(requirement.name))
        if version is None:
            unmet.append(f"{line} (not installed)")
        elif not requirement.specifier.contains(version, prereleases=True):
            unmet.append(f"{line} (here: {version})")
    return unmet
