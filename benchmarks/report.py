"""The tables of a run: on the terminal, and in ``benchmarks/RESULTS.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import rich.table
from rich.console import Console

from benchmarks.machine import Machine
from benchmarks.measurements import OURS, Measurements, Quantity
from benchmarks.peers import Peer

MISSING = "-"
MET, MISSED = "✓", "✗"
SIDES = ("figure", "targets")  # columns that hold no figures


@dataclass(frozen=True)
class Verdict:
    """One target: what was reached of it, and whether that is enough."""

    text: str
    met: bool


@dataclass(frozen=True)
class Table:
    """Figures that the same peers were measured with."""

    title: str
    quantities: Sequence[Quantity]
    peers: Sequence[Peer]
    measurements: Measurements

    @property
    def headings(self) -> list[str]:
        """The titles of its columns."""
        return ["figure", *(peer.title for peer in self.peers), "targets"]

    def rows(self) -> list[list[str]]:
        """The table's cells: title and unit, one figure a peer, and the targets, one a line."""
        table: list[list[str]] = []
        for quantity in self.quantities:
            figures = [self.cell(quantity, peer) for peer in self.peers]
            targets = "\n".join(verdict.text for verdict in self.verdicts(quantity))
            table.append([f"{quantity.title}, {quantity.unit}", *figures, targets])
        return table

    def cell(self, quantity: Quantity, peer: Peer) -> str:
        """One figure, or a dash, or that it failed."""
        value = self.measurements.median(quantity.key, peer.name)
        if value is not None:
            return number(value)
        failed = self.measurements.failures.get(quantity.key, {})
        return "failed" if peer.name in failed else MISSING

    def verdicts(self, quantity: Quantity) -> list[Verdict]:
        """What was reached of each target of this quantity."""
        found: list[Verdict] = []
        ours = self.measurements.median(quantity.key, OURS)
        for name, target in quantity.targets.items():
            peer = next((peer for peer in self.peers if peer.name == name), None)
            if peer is None:
                continue
            theirs = self.measurements.median(quantity.key, name)
            if ours is None or theirs is None:
                found.append(Verdict(f"≥ {target:g}x {peer.title}: not measured", met=False))
                continue
            times = quantity.times_better(ours, theirs)
            met = times >= target
            mark = MET if met else MISSED
            found.append(Verdict(f"{mark} {times:.1f}x {peer.title} (≥ {target:g}x)", met))
        for limit, sign in ((quantity.at_most, "≤"), (quantity.at_least, "≥")):
            if limit is None:
                continue
            wanted = f"{sign} {limit:g} {quantity.unit}"
            if ours is None:
                found.append(Verdict(f"{wanted}: not measured", met=False))
            else:
                met = ours <= limit if sign == "≤" else ours >= limit
                found.append(Verdict(f"{MET if met else MISSED} {wanted}", met))
        return found


@dataclass(frozen=True)
class Report:
    """Everything that a finished run has to say."""

    tables: Sequence[Table]
    versions: Mapping[str, str]
    machine: Machine
    measurements: Measurements
    date: str
    settings: str
    minutes: float

    def summary(self) -> str:
        """How many of the targets were met."""
        verdicts = [v for table in self.tables for q in table.quantities for v in table.verdicts(q)]
        met = sum(verdict.met for verdict in verdicts)
        unmeasured = sum(verdict.text.endswith("not measured") for verdict in verdicts)
        return f"{met} of {len(verdicts)} targets met, {unmeasured} not measured"

    def failures(self) -> list[str]:
        """Why figures are missing: one line for each reason."""
        lines: dict[str, list[str]] = {}
        for quantity in (q for table in self.tables for q in table.quantities):
            for name, reason in self.measurements.failures.get(quantity.key, {}).items():
                lines.setdefault(f"{name}: {' '.join(reason.split())}", []).append(quantity.key)
        return [f"{', '.join(keys)}: {reason}" for reason, keys in lines.items()]

    def print(self, console: Console) -> None:
        """Show the table, what failed, and how many targets were met."""
        for table in self.tables:
            shown = rich.table.Table(title=f"{table.title}: medians of one run", show_lines=False)
            for heading in table.headings:
                side: Literal["left", "right"] = "left" if heading in SIDES else "right"
                shown.add_column(heading, overflow="fold", justify=side)
            for *cells, targets in table.rows():
                colour = "red" if MISSED in targets else "green" if MET in targets else "dim"
                shown.add_row(*cells, f"[{colour}]{targets}[/{colour}]")
            console.print(shown)
        for name, text in self.measurements.durability.items():
            console.print(f"{name}: {text}", style="dim", markup=False, highlight=False)
        for line in self.failures():
            console.print(line, style="red", markup=False)
        console.print(f"{self.settings}; {self.minutes:.1f} minutes", style="dim", highlight=False)
        console.print(self.summary(), style="bold")

    def write(self, path: Path) -> None:
        """Write the same as Markdown."""
        path.write_text("\n".join(self.markdown()) + "\n", encoding="utf-8")

    def markdown(self) -> list[str]:
        """The lines of RESULTS.md."""
        titles = {peer.name: peer.title for table in self.tables for peer in table.peers}
        lines = [
            "# Results of the last full run",
            "",
            "Written by `make bench`; what each figure means, and why a target is missed, is in",
            "[README.md](README.md).",
            "",
            f"{self.date}, {self.minutes:.0f} minutes, {self.settings}. Each figure is the median "
            "of the rounds.",
            f"**{self.summary()}.** A dash: not measured. `2x` is twice as fast, or half the time.",
            "",
            *(f"- {line}" for line in self.machine.lines()),
            *(f"- {title} {self.versions.get(name, 'unknown')}" for name, title in titles.items()),
        ]
        for table in self.tables:
            aligned = ["---", *("---:" for _ in table.peers), "---"]
            lines += ["", f"## {table.title}", "", markdown_row(table.headings)]
            lines += [markdown_row(aligned), *(markdown_row(row) for row in table.rows())]
        if self.measurements.durability:
            lines += ["", "## Durability, as seen on the running servers", ""]
            seen = self.measurements.durability.items()
            lines += [f"- {name}: {text}" for name, text in seen]
        if failures := self.failures():
            lines += ["", "## What could not be measured", ""]
            lines += [f"- {line}" for line in failures]
        return lines


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), '<br>') for cell in cells)} |"


def number(value: float) -> str:
    """Three figures that count, with thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
