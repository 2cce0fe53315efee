"""Modules of the user's own that a model needs: found, so that they can be shipped with it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from headrace.models.environment.imports import modules_imported_by
from headrace.models.environment.owners import owners_of

_log: Final = logging.getLogger("headrace")


def local_code(modules: Iterable[str]) -> list[Path]:
    """The files and folders of those modules that no package has brought, and of all that these
    import in turn. Nothing is imported.
    """
    found: dict[str, Path] = {}
    waiting = {name.partition(".")[0] for name in modules}
    while waiting:
        name = waiting.pop()
        path = None if name in found else _local(name)
        if path is not None:
            found[name] = path
            waiting |= {each.partition(".")[0] for each in modules_imported_by([path])}
    return [found[name] for name in sorted(found)]


def warn_of_missing_code(modules: Iterable[str], shipped: Iterable[Path]) -> None:
    """Say which modules of the user's own a model needs and does not bring along."""
    brought = {path.resolve().stem for path in shipped}
    named = {name.partition(".")[0] for name in modules} - brought
    missing = sorted(name for name in named if _local(name) is not None)
    if missing:
        _log.warning(
            "The model needs modules of your own, which do not go with it: %s. Ship them by "
            "code_paths, or all that are found with infer_code_paths=True; without them it loads "
            "only where they are.",
            ", ".join(missing),
        )


def _local(name: str) -> Path | None:
    """The file or folder of a top-level module of the user's own; None for any other."""
    if name in sys.stdlib_module_names or name in ("__main__", "headrace", "mlflow"):
        return None
    spec = PathFinder.find_spec(name)
    if spec is None or owners_of([name]):
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
