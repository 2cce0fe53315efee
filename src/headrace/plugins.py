"""What other packages add to Headrace: objects named by entry points, beside the built-in ones.

A group is a table from a name to `"module:object"`, and the entry points of other installed
packages under the group's name. Nothing is imported before it is asked for; a plugin that fails to
load is said once, by name, and passed over.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

_log = logging.getLogger("headrace")


class Plugins:
    """The objects of one group, by name; built-in ones win over others of the same name."""

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        self.group = group
        self._built_in = built_in
        self._loaded: dict[str, Any] = {}

    def get(self, name: str) -> Any | None:
        """The object of this name, made by calling what the table names; None without one."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def names(self) -> list[str]:
        """All names, the built-in ones first and in their order."""
        return [*self._built_in, *(name for name in self._others if name not in self._built_in)]

    def built_in(self) -> Iterator[Any]:
        """The built-in objects, in order."""
        for name in self._built_in:
            yield self.get(name)

    def others(self) -> Iterator[Any]:
        """The objects of other packages. The first call looks through all that are installed."""
        for name in self._others:
            if name not in self._built_in and (found := self.get(name)) is not None:
                yield found

    def _load(self, name: str) -> Any | None:
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            return getattr(importlib.import_module(module), attribute)()
        entry = self._others.get(name)
        if entry is None:
            return None
        try:
            return entry.load()()
        # Somebody else's package: whatever it raises, the rest of Headrace works on.
        except Exception as error:  # noqa: BLE001 - see above
            _log.warning(
                "The plugin '%s' of the group %s (%s) does not load and is passed over: %s: %s",
                name,
                self.group,
                entry.value,
                type(error).__name__,
                error,
            )
            return None

    @cached_property
    def _others(self) -> dict[str, Any]:
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=self.group)}
