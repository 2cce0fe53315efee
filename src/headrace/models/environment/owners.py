"""Which installed packages modules come from, without importing them.

`importlib.metadata.packages_distributions()` answers the same for all modules at once, in a third
of a second where 150 packages are installed. Here the file that an import would load is found as
the import system finds it, and looked for in the lists that installers leave (RECORD, PEP 376):
some milliseconds, and the answers are kept until something is installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import NamedTuple

from headrace.models.environment.installed import Installed, packages_in


class _Location(NamedTuple):
    site: str
    """The folder of `sys.path` that the module was found in."""
    file: str
    """Its file, relative to that, with '/'."""


class _Answers:
    """What is known of the modules of one state of `sys.path`."""

    def __init__(self) -> None:
        self.state: tuple[tuple[str, int], ...] = ()
        self.owners: dict[str, tuple[Installed, ...]] = {}


_known = _Answers()


def owners_of(modules: Iterable[str]) -> set[Installed]:
    """The installed packages that the files of `modules` came with.

    None for the standard library, for local code and for what cannot be found; several where
    packages overwrite each other. A module inside a package that several packages fill
    (google.protobuf) is that of its own file.
    """
    state = tuple((folder, _changed(folder)) for folder in sys.path)
    if state != _known.state:
        _known.state, _known.owners = state, {}
    search = _Search()
    found: set[Installed] = set()
    for module in modules:
        if module not in _known.owners:
            _known.owners[module] = search.owners(module)
        found.update(_known.owners[module])
    return found


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


class _Search:
    """Looks for modules in the lists of files, each of which is read once."""

    def __init__(self) -> None:
        self._path = list(sys.path)
        self._lists: dict[str, list[tuple[Installed, bytes]]] = {}
        self._by_file: dict[_Location, tuple[Installed, ...]] = {}

    def owners(self, module: str) -> tuple[Installed, ...]:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in sys.builtin_module_names:
            return ()
        locations = list(_locations(module, self._path))
        if not locations:
            return ()
        owners = self._owners_of_file(locations[0])
        lists = self._lists[locations[0].site]
        deepest = locations[-1]
        if any(_holds(held, deepest.file) for owner, held in lists if owner in owners):
            return owners
        return self._owners_of_file(deepest) or owners

    def _owners_of_file(self, location: _Location) -> tuple[Installed, ...]:
        known = self._by_file.get(location)
        if known is None:
            if location.site not in self._lists:
                packages = packages_in(location.site)
                self._lists[location.site] = [(each, _files_of(each)) for each in packages]
            lists = self._lists[location.site]
            known = tuple(package for package, held in lists if _holds(held, location.file))
            self._by_file[location] = known
        return known


def _files_of(package: Installed) -> bytes:
    """The list of a package's files, each at the start of a line and before a comma."""
    try:
        with open(os.path.join(package.folder, "RECORD"), "rb") as file:
            return b"\n" + file.read()
    except OSError:
        return _names_of(package)


def _names_of(package: Installed) -> bytes:
    """The top-level modules of a package that has no list of its files (Debian's, eggs)."""
    try:
        with open(os.path.join(package.folder, "top_level.txt"), "rb") as file:
            names = file.read().split()
    except OSError:
        return b""
    return b"".join(b"\n%b/__init__.py,\n%b.py," % (name, name) for name in names)


def _holds(files: bytes, file: str) -> bool:
    return b"\n" + file.encode() + b"," in files


def _locations(module: str, path: list[str]) -> Iterator[_Location]:
    """The files that importing `module` would load, outermost first, as far as they are there."""
    places: list[str] | None = list(path)
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = _spec(name, places)
        if spec is None:
            return
        yield from _relative(spec.origin, path)
        if spec.submodule_search_locations is None:
            return
        places = list(spec.submodule_search_locations)


def _spec(name: str, places: list[str] | None) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, places)
    except (ImportError, ValueError, OSError):
        return None


def _relative(origin: str | None, path: list[str]) -> Iterator[_Location]:
    """The location of a file below the longest folder of the path that holds it."""
    if origin is None:
        return  # the folder of a namespace package, which belongs to nobody
    file = os.path.abspath(origin)
    sites = [os.path.abspath(folder or os.curdir) for folder in path]
    holding = [site for site in sites if file.startswith(site + os.sep)]
    if holding:
        site = max(holding, key=len)
        yield _Location(site, os.path.relpath(file, site).replace(os.sep, "/"))
