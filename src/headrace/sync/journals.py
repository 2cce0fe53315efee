"""Sending what lies in folders of journals: what offline programs logged, and what was left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace.artifacts.open import open_artifacts
from headrace.artifacts.transfer import upload_file
from headrace.client import entries, sender_process
from headrace.client.delivery import is_passing
from headrace.client.ledger import DESTINATION, Ledger, Refusal
from headrace.client.places import with_memory, without_credentials
from headrace.client.pulse import has_failed_since
from headrace.client.sender import Sender, keeps_run_ids, open_destination
from headrace.errors import HeadraceError, InvalidRequest, NotFound, Unavailable
from headrace.journal import folder as layout
from headrace.journal.reader import is_dealt_with
from headrace.journal.segment import Damaged
from headrace.sync.copying import Report
from headrace.sync.outcome import Problem

_UNREADABLE: Final = "unreadable"
_LOOK: Final = 0.1
"""Seconds between two looks at what another sender is doing."""


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


def meant_for(path: Path, uri: str) -> tuple[list[Path], list[Path]]:
    """The folders of journals at `path` that are to go to `uri`, and the others.

    A folder of one destination that is named itself is to go wherever it is sent.
    """
    folders = journal_folders(path)
    if folders == [path]:
        return folders, []
    goal = without_credentials(uri)
    wanted = [folder for folder in folders if Ledger(folder).destination() == goal]
    return wanted, [folder for folder in folders if folder not in wanted]


def send(
    folders: list[Path],
    uri: str,
    *,
    again: bool = False,
    forget: bool = False,
    dry: bool = False,
    report: Report = lambda _done, _total: None,
) -> Sent:
    """Send all that lies in `folders` to `uri`; with `again`, what was refused before, too.

    With `forget` what was refused, before or now, is shown for the last time and removed.
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
            others = _others(folder, sender)
            if others:
                sent.notes.append(
                    f"{len(others)} of the journals in {folder} have a sender of their own at work."
                )
            if not dry:
                if others:
                    _wait_for_sender(folder, uri)
                _drain(sender, report)
                if again:
                    _repeat(sender, uri)
                if sender.is_open:
                    sent.runs += sender.delivery.runs
                    sent.points += sender.delivery.points
        sent.refused += Ledger(folder).refusals()
        if forget and not dry:
            Ledger(folder).forget_refusals()
    sent.problems += [
        Problem(f"{each.what} (run {each.run_id})", each.reason) for each in sent.refused
    ]
    return sent


def _drain(sender: Sender, report: Report) -> None:
    total = max(sender.backlog(), 1)
    fault = sender.drain(lambda left: report(max(0, total - left), total))
    report(total, total)
    if fault is not None:
        fault.message += " What is not sent yet stays where it is: run the same command again."
        raise fault


def _others(folder: Path, sender: Sender) -> list[Path]:
    """The journals in a folder that another process reads."""
    return [path for path in layout.writers(folder) if path.name not in sender.streams]


def _wait_for_sender(folder: Path, uri: str) -> None:
    """Return when the sender of a folder has sent what is there now. Raises Unavailable."""
    ledger = Ledger(folder)
    goes_to = ledger.destination()
    if goes_to != without_credentials(uri):
        raise InvalidRequest(
            f"A sender is at work in {folder}, and sends to {goes_to}. Send there, or wait: it "
            "ends at the latest ten minutes after the last program that logs there."
        )
    first = ledger.state()
    while sender_process.is_running(folder):
        sender_process.poke(folder)
        if all(_is_sent(path) for path in layout.writers(folder)):
            return
        state = ledger.state()
        if state is not None and has_failed_since(state, first):
            raise Unavailable(f"The sender of {folder} cannot send now: {state.reason}")
        time.sleep(_LOOK)


def _is_sent(log: Path) -> bool:
    try:
        return is_dealt_with(log)
    except (OSError, Damaged):
        return True  # it was cleared up meanwhile, or can be read no further


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
