"""What autologging knows of one library: its options, its hooks, what it has replaced."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, Final, Generic, TypeVar

from headrace.client.autolog import scope
from headrace.client.autolog.imports import failures_raise, forget, when_imported
from headrace.client.autolog.replacement import Around, Replacement, wrapped
from headrace.forks import undivided

_log: Final = logging.getLogger("headrace")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The switches that every library has, under MLflow's names."""

    log_input_examples: bool = False
    log_model_signatures: bool = True
    log_models: bool = True
    log_datasets: bool = True
    disable: bool = False
    exclusive: bool = False
    disable_for_unsupported_versions: bool = False
    silent: bool = False
    registered_model_name: str | None = None
    extra_tags: Mapping[str, str] | None = None


O = TypeVar("O", bound=Options)  # noqa: E741 - the usual letter for options


class Library(Generic[O]):
    """One library: switched on or off, with its options.

    `hooks` names the modules that its hooks change, each called when that module has been
    imported. `versions` are the first that was tried, and the first that was not. The version is
    the `__version__` of the module's first part, else that of the package of this name.
    """

    def __init__(
        self,
        flavor: str,
        hooks: Mapping[str, Callable[[ModuleType], None]],
        options: O,
        versions: tuple[str, str],
    ) -> None:
        self.flavor = flavor
        self.options = options
        self.on = False
        self.chosen = False
        """Whether the user has called this library's own `autolog`: that one's options stay."""
        self._hooks = {name: self._checked(hook) for name, hook in hooks.items()}
        self._versions = versions
        self._replaced: dict[tuple[int, str], Replacement] = {}
        self._warned: set[tuple[str, str]] = set()
        self._pid: int | None = None

    def switch(self, options: O) -> None:
        """Switch on with these options, or off, for `disable`; off takes everything back."""
        with undivided():
            self.options = options
            self.chosen = True
            self._pid = scope.switching_process()
            self.on = not options.disable
            if self.on:
                self._warned.clear()
            else:
                for replaced in reversed(self._replaced.values()):
                    replaced.undo()
                self._replaced.clear()
        # Not under the lock: these may wait for an import in another thread, which may wait for it.
        for name, hook in self._hooks.items():
            (when_imported if self.on else forget)(name, hook)

    def logs_here(self) -> bool:
        """Whether a call in this thread and process, made now, is to be observed."""
        return self.on and not scope.inside() and scope.logs_here(self._pid)

    def replace(self, owner: type | ModuleType, name: str, around: Around) -> None:
        """Put `around` around an attribute, until the library is switched off; once only."""
        found = inspect.getattr_static(owner, name)
        self._put(owner, name, lambda: wrapped(found, around))

    def put(self, owner: type | ModuleType, name: str, value: Any) -> None:
        """Set an attribute, until the library is switched off; once only."""
        self._put(owner, name, lambda: value)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """What fails in this block is a warning, once: `what` was not logged, and why.

        Around code of ours alone: the user's own exceptions must not end here.
        """
        try:
            yield
        except Exception as error:
            if failures_raise():
                raise
            self.warn(what, error)

    def warn(self, what: str, error: BaseException) -> None:
        """Say once that something was not logged; nothing at all for `silent`."""
        key = (what, type(error).__name__)
        if self.options.silent or key in self._warned:
            return
        self._warned.add(key)
        _log.warning(
            "Autologging of %s did not log %s; the training is not affected. %s: %s",
            self.flavor,
            what,
            type(error).__name__,
            error,
        )

    def _put(self, owner: type | ModuleType, name: str, make: Callable[[], Any]) -> None:
        with undivided():
            key = (id(owner), name)
            earlier = self._replaced.get(key)
            if self.on and (earlier is None or not earlier.in_place):
                self._replaced[key] = Replacement(owner, name, make())

    def _checked(self, hook: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def run(module: ModuleType) -> None:
            if self.on and self._takes_version(module.__name__.partition(".")[0]):
                hook(module)

        return run

    def _takes_version(self, package: str) -> bool:
        version = getattr(sys.modules.get(package), "__version__", None)
        if not isinstance(version, str):
            version = metadata.version(package)
        first, behind = self._versions
        if numbers(first) <= numbers(version) < numbers(behind):
            return True
        if not self.options.silent and ("version", version) not in self._warned:
            self._warned.add(("version", version))
            _log.warning(
                "Autologging of %s was tried with versions from %s to before %s; this is %s%s.",
                self.flavor,
                first,
                behind,
                version,
                ": it is off" if self.options.disable_for_unsupported_versions else "",
            )
        return not self.options.disable_for_unsupported_versions


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare: (1, 9, 0) for "1.9.0rc1"."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
