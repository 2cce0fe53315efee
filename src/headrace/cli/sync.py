"""`headrace sync`: copy what is tracked from one place to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import output
from headrace.cli.command import Command
from headrace.cli.options import json_option
from headrace.cli.progress import progress
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    from headrace.sync.journals import Sent
    from headrace.sync.outcome import Outcome

_SHOWN_PROBLEMS = 20
_AGAIN, _FORGET = "again", "forget"
_EXAMPLES = (
    "headrace sync sqlite:///headrace.db http://tracking.example:5000",
    "headrace sync sqlite:///mlflow.db sqlite:///headrace.db",
    "headrace sync ./mlruns http://127.0.0.1:5000 --dry-run",
    "headrace sync ~/.local/state/headrace/journal http://tracking.example:5000",
    "headrace sync http://mlflow.example:5000 sqlite:///headrace.db --experiment churn",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("source")
@click.argument("destination")
@click.option(
    "--experiment",
    "experiments",
    metavar="NAME",
    multiple=True,
    help="Copy only this experiment, and the model versions from it. May be repeated.",
)
@click.option("--no-artifacts", is_flag=True, help="Leave the files of runs and models out.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied, and write nothing.")
@click.option(
    "--source-artifacts",
    metavar="FOLDER",
    help="Where the files behind a source's database lie, if not beside it.",
)
@click.option(
    "--destination-artifacts",
    metavar="FOLDER",
    help="Where the files behind a destination's database lie, if not beside it.",
)
@click.option(
    "--refused",
    type=click.Choice([_AGAIN, _FORGET]),
    help="Of journals: send once more what was refused, or show it for the last time.",
)
@json_option
def sync(
    source: str,
    destination: str,
    experiments: tuple[str, ...],
    no_artifacts: bool,
    dry_run: bool,
    refused: str | None,
    as_json: bool,
    **artifacts: str | None,
) -> None:
    """Copy experiments, runs, files and models from SOURCE to DESTINATION.

    SOURCE is a server (http://…, Headrace's or MLflow's), a database (sqlite:///FILE,
    postgresql://…, Headrace's or MLflow's), or MLflow's folder mlruns; it is only read. Or it is
    a folder of journals, where programs without a server log to (HEADRACE_JOURNAL): what they
    logged for DESTINATION is sent and removed from it, what was refused is shown.
    DESTINATION is a server or a database of Headrace's, which is made if it is not there, or a
    server of MLflow's.

    Run it again to copy what is new, or to go on after it was stopped: what is there already is
    passed over, and nothing is there twice. Nothing is deleted at the destination. It ends with 1
    if something could not be copied; the rest was.
    """
    from headrace.cli.tracking import normalized
    from headrace.sync.between import Addresses, copy_between
    from headrace.sync.journals import journal_folders
    from headrace.sync.plan import Choice

    if "://" not in source and journal_folders(Path(source)):
        if experiments or no_artifacts or any(artifacts.values()):
            raise InvalidRequest(
                "Journals are sent whole: --experiment, --no-artifacts and the folders of "
                "artifacts go with other sources."
            )
        _send(Path(source), normalized(destination), refused, dry_run, as_json)
        return
    if refused is not None:
        raise InvalidRequest(f"--refused goes with journals, and there are none at '{source}'.")
    where = Addresses(source, normalized(destination), **artifacts)
    choice = Choice(experiments, files=not no_artifacts)
    with progress("Copying runs and models") as report:
        outcome = copy_between(where, choice, dry=dry_run, report=report)
    if as_json:
        output.emit_json(_document(outcome, dry_run))
    else:
        _print(outcome, dry_run)
    if outcome.problems:
        raise click.exceptions.Exit(1)


def _send(
    source: Path, destination: str, refused: str | None, dry_run: bool, as_json: bool
) -> None:
    """Send what is meant for `destination` of the journals at `source`, and say what became."""
    from headrace.client.ledger import Ledger
    from headrace.sync.journals import meant_for, send

    folders, others = meant_for(source, destination)
    with progress("Sending journals") as report:
        sent = send(
            folders,
            destination,
            again=refused == _AGAIN,
            forget=refused == _FORGET,
            dry=dry_run,
            report=report,
        )
    sent.notes += [
        f"What lies in {folder} is meant for {Ledger(folder).destination()}: send it there, or "
        "name that folder to send it here."
        for folder in others
    ]
    if as_json:
        output.emit_json(
            {
                "dry_run": dry_run,
                "journals": sent.journals,
                "runs": sent.runs,
                "points": sent.points,
                "problems": sent.problems,
                "notes": sent.notes,
            }
        )
    else:
        _print_sent(sent, dry_run)
        _print_problems([f"Note: {text}" for text in sent.notes])
        _print_problems([f"Refused: {each.what}: {each.why}" for each in sent.problems])
    if sent.problems:
        raise click.exceptions.Exit(1)


def _print_sent(sent: Sent, dry_run: bool) -> None:
    journals = _counted(sent.journals, "journal")
    if not (sent.journals or sent.runs or sent.points):
        if not sent.notes:
            click.echo("There is nothing to send.")
        elif dry_run:
            click.echo("There is nothing to send but what senders are at work on.")
        else:
            click.echo("Senders that were at work have dealt with everything.")
    elif dry_run:
        click.echo(f"{journals} would be sent.")
    else:
        click.echo(
            f"Sent {journals}: {_counted(sent.runs, 'run')}, {_counted(sent.points, 'point')}."
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _print_problems(lines: list[str]) -> None:
    for line in lines[:_SHOWN_PROBLEMS]:
        output.note(output.printable(line))
    if len(lines) > _SHOWN_PROBLEMS:
        output.note(f"… and {len(lines) - _SHOWN_PROBLEMS:,} more; --json lists all of them.")


def _document(outcome: Outcome, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        **outcome.tallies,
        "points": outcome.points,
        "files": outcome.files,
        "file_bytes": outcome.file_bytes,
        "problems": outcome.problems,
        "notes": outcome.notes,
    }


def _print(outcome: Outcome, dry_run: bool) -> None:
    columns = ("", "new", "updated", "unchanged", "incomplete")
    rows = [
        (kind.replace("_", " "), tally.new, tally.updated, tally.unchanged, tally.incomplete)
        for kind, tally in outcome.tallies.items()
    ]
    output.table(columns, rows)
    if dry_run:
        output.note("Nothing was written: this is what would be copied.")
    else:
        size = output.amount(outcome.file_bytes)
        click.echo(f"{outcome.points:,} points of metrics, {outcome.files:,} files ({size})")
    _print_problems([f"Note: {text}" for text in outcome.notes])
    _print_problems([f"Not copied: {each.what}: {each.why}" for each in outcome.problems])
