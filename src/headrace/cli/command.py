"""Commands whose help ends with examples, and groups that import a command when it is named."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click


class Command(click.Command):
    """A command with `examples`: lines that can be copied into a shell."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are typed, then what click would write."""
        write_lines(formatter, "Examples" if len(self.examples) > 1 else "Example", self.examples)
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class Lazy(NamedTuple):
    """Where a command is defined, and the line that lists it before it is loaded."""

    target: str
    short_help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        # What click suggests from for a misspelt name, without importing anything.
        self.commands = {
            name: click.Command(name, short_help=entry.short_help) for name, entry in lazy.items()
        }

    def get_command(
        self,
        ctx: click.Context,
        cmd_name: str,
    ) -> click.Command | None:
        """The real command, imported now."""
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were declared."""
        return list(self._lazy)

    def format_commands(
        self,
        ctx: click.Context,
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in self._lazy.items()])


def write_lines(formatter: click.HelpFormatter, title: str, lines: Sequence[str]) -> None:
    """A section of lines that are not wrapped."""
    if lines:
        with formatter.section(title):
            for line in lines:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
