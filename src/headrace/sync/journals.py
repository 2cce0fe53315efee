"""Sending what lies in folders of journals: what offline programs logged, and what was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace.artifacts.open import open_artifacts
from headrace.artifacts.transfer import upload_file
from headrace.client import entries
from headrace.client.delivery import is_passing
from headrace.client.ledger import DESTINATION, Ledger, Refusal
from headrace.client.places import with_memory
from headrace.client.sender import Sender, keeps_run_ids, open_destination
from headrace.errors import HeadraceError, NotFound
from headrace.journal import folder as layout
from headrace.sync.copying import Report
from headrace.sync.outcome import Problem

_UNREADABLE: Final = "unreadable"


@dataclass
class Sent:
    """What was sent, what could not be, and what is still on its way."""

    journals: int = 0
    runs: int = 0
    points: int = 0
    refused: list[Refusal] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def journal_folders(path: Path) -> list[Path]:
    """The folders of journals at `path`: itself, or those in it; none where there are none."""
    if (path / DESTINATION).is_file():
        return [path]
    if not path.is_dir():
        return []
    return sorted(child for child in path.iterdir() if (child / DESTINATION).is_file())


def send(
    folders: list[Path],
    uri: str,
    *,
    again: bool = False,
    dry: bool = False,
    report: Report = lambda _done, _total: None,
) -> Sent:
    """Send all that lies in `folders` to `uri`; with `again`, what was refused before, too.

    Sending twice changes nothing. The logs of programs that still run are sent as far as they go.
    With `dry` nothing is sent: it says what would be. Raises the fault that stopped it.
    """
    sent = Sent()
    for folder in folders:
        sender = Sender(with_memory(folder), uri, open_destination, lambda _: keeps_run_ids(uri))
        with ExitStack() as stack:
            stack.callback(sender.close)
            sender.find()
            sent.journals += len(sender.streams)
            _note_others(folder, sender, sent)
            if not dry:
                _drain(sender, report)
                if again:
                    _repeat(sender, uri)
                if sender.is_open:
                    sent.runs += sender.delivery.runs
                    sent.points += sender.delivery.points
        sent.refused += Ledger(folder).refusals()
    sent.problems += [
        Problem(f"{each.what} of the run '{each.run_id}'", each.reason) for each in sent.refused
    ]
    return sent


def _drain(sender: Sender, report: Report) -> None:
    total = max(sender.backlog(), 1)
    fault = sender.drain(lambda left: report(max(0, total - left), total))
    report(total, total)
    if fault is not None:
        fault.message += " What is not sent yet stays where it is: run the same command again."
        raise fault


def _note_others(folder: Path, sender: Sender, sent: Sent) -> None:
    others = [path for path in layout.writers(folder) if path.name not in sender.streams]
    if others:
        sent.notes.append(
            f"{len(others)} of the journals in {folder} are being sent by a sender that is at work."
        )


def _repeat(sender: Sender, uri: str) -> None:
    """Send again what was refused; what is refused once more is noted once more."""
    delivery = sender.delivery
    for refused in sender.ledger.take_refusals():
        for entry in _entries(refused):
            if isinstance(entry, entries.ArtifactLogged):
                try:
                    place = open_artifacts(delivery.artifact_uri(entry.run_id), uri)
                    target = place.below(entry.path)
                    upload_file(target.store, sender.ledger.folder / entry.file, target.path)
                except NotFound as error:
                    delivery.refuse(refused.writer, entry.run_id, entry, error)
                except HeadraceError as error:
                    if is_passing(error):
                        raise
                    delivery.refuse(refused.writer, entry.run_id, entry, error)
            else:
                delivery.apply(refused.writer, entry)


def _entries(refused: Refusal) -> Iterator[entries.Entry]:
    if refused.error_code != _UNREADABLE.upper():
        yield entries.decode(bytes(refused.entry))
