"""`headrace runs console`: what the programs of a run have printed, also while they print."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import click

from headrace.artifacts import console as logs
from headrace.artifacts.open import ArtifactPlace
from headrace.cli import output, tracking
from headrace.cli.command import Command
from headrace.cli.options import json_option, tracking_uri_option
from headrace.errors import NotFound
from headrace.protocol.runs import RunInfo, RunRef, RunStatus
from headrace.store.base import Store

POLL_SECONDS: Final = 1.0
# Line ends, tabs, colours and what progress bars need; everything else could steer the terminal.
_UNSAFE: Final = re.compile(
    r"\x1b(?!\[[0-9;]*[mKA])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)


class _Run(NamedTuple):
    """A run whose logs are read."""

    store: Store
    run_id: str
    place: ArtifactPlace

    def is_running(self) -> bool:
        """Whether more may be printed."""
        status = self._info().status
        return status in {RunStatus.RUNNING, RunStatus.SCHEDULED}

    def _info(self) -> RunInfo:
        return self.store.runs.get(RunRef(self.run_id)).run.info


@click.command(
    cls=Command,
    examples=["headrace runs console RUN_ID", "headrace runs console RUN_ID --follow"],
)
@click.argument("run_id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--source", metavar="NAME", help="One of several processes that print.  [default: all]"
)
@tracking_uri_option
@json_option
def console(
    run_id: str, follow: bool, source: str | None, tracking_uri: str, as_json: bool
) -> None:
    """Show what the programs of a run have printed.

    Each process that logged to the run has a log of its own; they are shown one after the other,
    each under its name where there are several.
    """
    from headrace.artifacts.open import open_artifacts

    if follow and as_json:
        raise click.UsageError("--follow has no end to print one document at; leave out --json.")
    with tracking.tracked(tracking_uri) as store:
        uri = store.runs.get(RunRef(run_id)).run.info.artifact_uri
        run = _Run(store, run_id, open_artifacts(uri, tracking.normalized(tracking_uri)))
        if as_json:
            output.emit_json({"sources": _everything(run, source)})
        else:
            _show(run, source, follow)


def _show(run: _Run, source: str | None, follow: bool) -> None:
    offsets: dict[str, int] = {}
    shown: str | None = None
    while True:
        # Asked before the logs are read: what comes after it has ended would be missed.
        is_running = run.is_running()
        names = _sources(run, source)
        for name in names:
            for text in _pages(run, name, offsets, complete=not is_running):
                if name != shown and len(names) > 1:
                    click.secho(f"--- {name}", bold=True)
                shown = name
                click.echo(_safe(text), nl=False)
        if not (follow and is_running):
            return
        time.sleep(POLL_SECONDS)


def _pages(run: _Run, source: str, offsets: dict[str, int], *, complete: bool) -> Iterator[str]:
    """All of a source's log from `offsets[source]` on, which moves along."""
    while True:
        offset = offsets.get(source, 0)
        page = logs.read_page(run.place.store, run.place.path, source, offset, complete=complete)
        if page.next_offset == offset:
            return
        offsets[source] = page.next_offset
        yield page.text


def _everything(run: _Run, source: str | None) -> list[dict[str, str]]:
    complete = not run.is_running()
    return [
        {"source": name, "text": "".join(_pages(run, name, {}, complete=complete))}
        for name in _sources(run, source)
    ]


def _sources(run: _Run, wanted: str | None) -> list[str]:
    names = logs.sources(run.place.store, run.place.path)
    if wanted is None:
        return names
    if wanted not in names:
        raise NotFound(
            f"The run '{run.run_id}' has no console log of a source {wanted!r}; there are: "
            f"{', '.join(names) or 'none'}."
        )
    return [wanted]


def _safe(text: str) -> str:
    """The text with what could steer a terminal made visible."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
