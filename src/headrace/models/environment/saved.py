"""What a saved model needs, found in its files without loading any of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.environment.pickles import modules_in_pickle
from headrace.models.environment.requirements import requirements_for

_MAX_PICKLE: Final = 1 << 30
_MAX_SCHEMA: Final = 64 << 20
_LIBRARIES: Final = {"pytorch": "torch", "python_function": "", "onnxruntime_genai": ""}
"""Modules of flavors whose library has another name than the flavor."""


def infer_requirements(folder: Path, flavor: str) -> list[str]:
    """Pinned requirements of the model in `folder`: of its flavor's library, of the modules that
    its pickles and skops files name, and of the imports of its code.
    """
    modules = {_LIBRARIES.get(flavor, flavor)} - {""}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix == ".pkl" and path.stat().st_size <= _MAX_PICKLE:
            with suppress(InvalidRequest):  # a .pkl that is no pickle names no modules
                modules |= modules_in_pickle(path.read_bytes())
        elif path.suffix == ".skops":
            modules |= _modules_in_skops(path)
    code = [*folder.glob("*.py"), *(folder / "code").glob("*")]
    return requirements_for((), modules, code)


def _modules_in_skops(path: Path) -> set[str]:
    """The modules that the description in a skops file (JSON in a zip file) names."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("schema.json").file_size > _MAX_SCHEMA:
                return set()
            return set(_named_modules(json.loads(archive.read("schema.json"))))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, OSError):
        return set()


def _named_modules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        module = node.get("__module__")
        if isinstance(module, str):
            yield module
        for value in node.values():
            yield from _named_modules(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named_modules(value)
