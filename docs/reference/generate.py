"""Writes settings.md, cli.md and python-api.md from the program itself; `make docs` runs it.

`tests/architecture` compares the pages with what this makes, so that they cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from docs.reference.python_api import python_page
from headrace.settings import all_variables

HERE = Path(__file__).resolve().parent
WIDTH = 92

SETTINGS_INTRODUCTION = """\
# Settings

Environment variables that Headrace reads. Where MLflow has one of the same meaning, it is read too;
Headrace's own name wins, and an option on the command line wins over both.

| variable | also read | meaning |
|---|---|---|
"""

COMMANDS_INTRODUCTION = """\
# Commands

What `--help` says, for reading in one go.
"""


def settings_page() -> str:
    """The table of all environment variables."""
    rows = []
    for variable in all_variables():
        name, *also = (f"`{each}`" for each in variable.names)
        secret = " (secret)" if variable.secret else ""
        rows.append(f"| {name} | {', '.join(also)} | {variable.meaning}{secret} |\n")
    return SETTINGS_INTRODUCTION + "".join(rows)


def commands(
    command: click.Command, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Every command that is not hidden, groups before what is in them."""
    context = click.Context(
        command,
        info_name=command.name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is None:
                raise LookupError(f"{context.command_path} lists {name} but does not have it")
            if not child.hidden:
                yield from commands(child, context)


def commands_page(root: click.Command) -> str:
    """The help of every command, under a heading each."""
    sections = [COMMANDS_INTRODUCTION]
    for context in commands(root):
        level = "##" if context.parent is None or context.parent.parent is None else "###"
        help_text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
        sections.append(f"{level} {context.command_path}\n\n```text\n{help_text}\n```\n")
    return "\n".join(sections)


def main() -> None:
    """Write both pages."""
    from headrace.cli.main import root

    (HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
    (HERE / "cli.md").write_text(commands_page(root), encoding="utf-8")
    (HERE / "python-api.md").write_text(python_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
