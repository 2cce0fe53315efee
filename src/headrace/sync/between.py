"""A copy between two addresses: what `headrace sync SOURCE DESTINATION` does."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass

from headrace.artifacts.open import local_path
from headrace.errors import InvalidRequest
from headrace.sync.addresses import same_place, shown, sqlite_file
from headrace.sync.copying import Report, copy
from headrace.sync.destination import Destination
from headrace.sync.open import open_source
from headrace.sync.outcome import FATAL, Outcome
from headrace.sync.plan import Choice


@dataclass(frozen=True)
class Addresses:
    """From where to where, and the folders in which two databases have their files.

    A folder is None for the usual place: `headrace-artifacts` beside the file of the database.
    """

    source: str
    destination: str
    source_artifacts: str | None = None
    destination_artifacts: str | None = None


def copy_between(
    where: Addresses,
    choice: Choice,
    *,
    dry: bool = False,
    report: Report = lambda _done, _total: None,
) -> Outcome:
    """Copy; see `copying.copy`. With `dry` nothing is written, no database made either.

    Raises InvalidRequest where source and destination are the same.
    """
    if same_place(where.source, where.destination):
        raise InvalidRequest(
            f"Source and destination are the same: {shown(where.source)}. Name two places."
        )
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(where.source, where.source_artifacts)))
        uri, folder = where.destination, where.destination_artifacts
        file = sqlite_file(uri)
        if dry and file is not None and not file.exists():
            # What is not there holds nothing, as an empty database does that nobody will miss.
            nowhere = stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-sync-"))
            uri = f"sqlite:///{nowhere}/empty.db"
        path = local_path(folder) if folder else None
        destination = stack.enter_context(closing(Destination(uri, path)))
        try:
            return copy(source, destination, choice, dry=dry, report=report)
        except FATAL as error:
            error.message += (
                " What was copied so far is there; run the same command again, it goes on where "
                "it stopped."
            )
            raise
