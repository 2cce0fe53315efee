"""What commands print: tables for people, one JSON document for machines, notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import click

_PIPED_WIDTH = 10_000
"""Columns of a table that goes to a pipe or a file: as many as it needs, nothing is cut."""


def emit_json(value: Any) -> None:
    """Print `value` (structs of the protocol, or plain Python) as one JSON document."""
    import msgspec

    from headrace.protocol import codec

    click.echo(msgspec.json.format(codec.encode(value), indent=2).decode())


def note(message: str) -> None:
    """Say something to the person, on stderr, so that stdout stays what was asked for."""
    click.echo(message, err=True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], least: Sequence[int] = ()
) -> None:
    """Print rows under a heading.

    On a terminal that is too narrow the columns with the numbers in `least` are left out, the
    first of them first; without any, cells are broken into lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    interactive = sys.stdout.isatty()
    console = Console(width=None if interactive else _PIPED_WIDTH, highlight=False)
    cells = [[printable(cell) for cell in row] for row in rows]
    shown = _fitting(columns, cells, least, console.width)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for number in shown:
        whole = bool(least) or number == 0
        overflow: Literal["ellipsis", "fold"] = "ellipsis" if whole else "fold"
        grid.add_column(columns[number], no_wrap=whole, overflow=overflow)
    for row in cells:
        grid.add_row(*(Text(row[number]) for number in shown))
    if interactive:
        console.print(grid)
        return
    with console.capture() as captured:
        console.print(grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], least: Sequence[int], width: int
) -> list[int]:
    """The numbers of the columns that fit into `width`, as far as columns may be left out."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    shown = list(range(len(columns)))
    for unimportant in least:
        if sum(widths[number] + 2 for number in shown) - 2 <= width:
            break
        shown.remove(unimportant)
    return shown


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, values in one column."""
    shown = [(name, printable(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}".rstrip())


def printable(value: object) -> str:
    """Text that a terminal shows as it is: what could steer the terminal is made visible."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clock(milliseconds: int | None) -> str:
    """A time in milliseconds since 1970, in the local time zone, to the second."""
    if not milliseconds:
        return ""
    try:
        when = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    except (OverflowError, OSError, ValueError):
        return str(milliseconds)
    return when.strftime("%Y-%m-%d %H:%M:%S")


def lasted(start: int | None, end: int | None) -> str:
    """The time between two times in milliseconds, in words of at most two units."""
    if not start or not end or end < start:
        return ""
    seconds = (end - start) / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def amount(size: int | None) -> str:
    """A number of bytes in the largest unit that leaves at least 1 of it."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def number(value: float) -> str:
    """A metric's value with the six digits that people compare."""
    return f"{value:.6g}"
