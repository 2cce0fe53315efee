"""Hooks that run when a module has been imported: `when_imported` and `forget`.

A finder in front of `sys.meta_path` lets the other finders do their work, and has the loader that
they found call the hooks once the module is there. It costs one look into a dictionary for each
import of anything else.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from headrace import settings
from headrace.forks import undivided

Hook = Callable[[ModuleType], None]

_log: Final = logging.getLogger("headrace")


def when_imported(name: str, hook: Hook) -> None:
    """Call `hook(module)` now if the module `name` is imported, and after each import of it.

    That a reload calls it again, and that two threads may do so at once, is the hook's to bear.
    What a hook raises is logged as a warning: it never breaks an import.
    """
    with undivided():
        hooks = _finder.hooks.setdefault(name, [])
        if hook not in hooks:
            hooks.append(hook)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    module = sys.modules.get(name)
    if module is None:
        return
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        # Another thread is in the middle of importing it: this waits for it.
        module = importlib.import_module(name)
    _run([hook], module)


def forget(name: str, hook: Hook) -> None:
    """Call `hook` no longer."""
    with undivided():
        hooks = _finder.hooks.get(name, [])
        if hook in hooks:
            hooks.remove(hook)
        if not hooks:
            _finder.hooks.pop(name, None)
        if not _finder.hooks and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


def failures_raise() -> bool:
    """Whether what fails in autologging raises: set for tests, never for training."""
    return (settings.AUTOLOGGING_TESTING.get() or "").lower() in ("1", "true", "yes")


class _Finder(MetaPathFinder):
    """Finds what the other finders find, with a loader that calls the hooks."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if fullname not in self.hooks:
            return None
        names: set[str] = self._asking.__dict__.setdefault("names", set())
        if fullname in names:
            return None  # a finder behind us asks all finders
        names.add(fullname)
        try:
            spec = self._ask_the_others(fullname, path, target)
        finally:
            names.discard(fullname)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            loader: Any = _Loader(spec.loader, fullname)
            spec.loader = loader
        return spec

    def _ask_the_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                return spec
        return None


class _Loader:
    """The loader that was found; when it has made the module, the hooks are called.

    The module never sees it: its loader is the one that was found.
    """

    def __init__(self, found: Any, name: str) -> None:
        self._found = found
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader that was found does it."""
        create = getattr(self._found, "create_module", None)
        made: ModuleType | None = None if create is None else create(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As the loader that was found does it; then call the hooks."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._found
        module.__loader__ = self._found
        self._found.exec_module(module)
        _run(list(_finder.hooks.get(self._name, ())), sys.modules.get(self._name, module))


def _run(hooks: Sequence[Hook], module: ModuleType) -> None:
    for hook in hooks:
        try:
            hook(module)
        except Exception as error:
            if failures_raise():
                raise
            _log.warning("Autologging could not be turned on in %s: %s", module.__name__, error)


_finder: Final = _Finder()
