"""Starts a worker in a model's own environment: `python -I boot.py MODULE ARGUMENT…`.

Makes the package `headrace` importable from where this file lies, and nothing else that is
installed beside it: the environment's own packages must not mix with those that Headrace came with.
Then calls `main` of the module with the arguments. `-I` keeps the working folder, PYTHONPATH and
the user's packages out. This file also runs on Pythons that are too old for the others, to say so.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

OLDEST = (3, 11)
CANNOT_RUN = 78
"""The exit status where this Python cannot run Headrace: EX_CONFIG of sysexits.h."""


def add_headrace(folder: str) -> None:
    """Make `headrace` the package in `folder`, whatever is installed."""
    spec = importlib.util.spec_from_file_location(
        "headrace", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package in {folder}")
    package = importlib.util.module_from_spec(spec)
    sys.modules["headrace"] = package
    spec.loader.exec_module(package)


def run(words: list[str]) -> int | None:
    """Run `main` of the module that the first word names with the others; its exit status."""
    found = sys.version_info[:2]
    if found < OLDEST:
        sys.stderr.write(
            f"Error: The model's environment has Python {found[0]}.{found[1]} ({sys.executable}); "
            f"Headrace runs on Python {OLDEST[0]}.{OLDEST[1]} and newer. Save the model anew with "
            "a newer Python.\n"
        )
        return CANNOT_RUN
    here = os.path.dirname(os.path.abspath(__file__))
    add_headrace(os.path.dirname(os.path.dirname(here)))
    sys.argv = words
    status: int | None = importlib.import_module(words[0]).main(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
