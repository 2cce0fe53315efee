"""Headrace's own worker with another engine in it: `python made_worker.py BOOT ENGINE SOCKET`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def main(boot: str, engine: str, socket: str) -> int:
    """Serve on the socket; the other two are files of Python."""
    loaded("boot", boot).add_headrace(str(Path(boot).parents[2]))
    from headrace.serving.worker.main import main as work

    return work([socket], loaded("made_engine", engine).made)


def loaded(name: str, path: str) -> ModuleType:
    """A module from a file: nothing is on the path of a worker."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
