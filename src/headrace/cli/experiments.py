"""`headrace experiments`: make, list, show, rename, delete, restore and export experiments."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import click

from headrace.cli import output, tracking
from headrace.cli.command import Group
from headrace.cli.options import (
    json_option,
    key_value,
    max_results_option,
    tracking_uri_option,
    view_option,
    view_type,
)
from headrace.protocol import experiments as protocol
from headrace.protocol import runs
from headrace.protocol.wire import Tag
from headrace.store.base import Store


@click.group(cls=Group)
def experiments() -> None:
    """Make, list and export experiments.

    An experiment holds runs. EXPERIMENT is its name or its id.
    """


@experiments.command(examples=["headrace experiments create churn --tag team=growth"])
@click.argument("name")
@click.option("--artifact-location", metavar="URI", help="Where its runs keep files.")
@click.option(
    "--tag",
    "tags",
    type=key_value,
    metavar="KEY=VALUE",
    multiple=True,
    help="A tag; may be repeated.",
)
@tracking_uri_option
@json_option
def create(
    name: str,
    artifact_location: str | None,
    tags: tuple[tuple[str, str], ...],
    tracking_uri: str,
    as_json: bool,
) -> None:
    """Make an experiment and print its id."""
    request = protocol.CreateExperiment(
        name=name,
        artifact_location=artifact_location,
        tags=[Tag(key, value) for key, value in tags],
    )
    with tracking.tracked(tracking_uri, make=True) as store:
        answer = store.experiments.create(request)
    if as_json:
        output.emit_json(answer)
    else:
        click.echo(answer.experiment_id)


@experiments.command(
    name="list",
    examples=[
        "headrace experiments list",
        "headrace experiments list --filter \"tags.team = 'growth'\" --json",
    ],
)
@click.option("--filter", "text", metavar="TEXT", help="Such as: name LIKE 'churn%'.")
@click.option("--order-by", multiple=True, metavar="FIELD", help="Such as: name ASC.")
@max_results_option
@view_option
@tracking_uri_option
@json_option
def list_(
    text: str | None,
    order_by: tuple[str, ...],
    max_results: int,
    view: str,
    tracking_uri: str,
    as_json: bool,
) -> None:
    """List experiments, newest first."""
    with tracking.tracked(tracking_uri) as store:
        every = tracking.each_experiment(store, view_type(view), text, list(order_by))
        found = list(islice(every, max_results + 1))
    shown = found[:max_results]
    if as_json:
        output.emit_json({"experiments": shown})
        return
    output.table(
        ("ID", "NAME", "STAGE", "CREATED", "ARTIFACTS"),
        (
            (
                e.experiment_id,
                e.name,
                e.lifecycle_stage,
                output.clock(e.creation_time),
                e.artifact_location,
            )
            for e in shown
        ),
        least=(4, 3),
    )
    if len(found) > max_results:
        output.note(f"There are more than {max_results}; --max-results shows more.")


@experiments.command(
    examples=["headrace experiments show churn", "headrace experiments show 0 --json"]
)
@click.argument("experiment")
@tracking_uri_option
@json_option
def show(experiment: str, tracking_uri: str, as_json: bool) -> None:
    """Show one experiment, with its tags."""
    with tracking.tracked(tracking_uri) as store:
        found = tracking.find_experiment(store, experiment)
    if as_json:
        output.emit_json({"experiment": found})
        return
    output.facts(
        [
            ("ID", found.experiment_id),
            ("Name", found.name),
            ("Stage", found.lifecycle_stage),
            ("Created", output.clock(found.creation_time)),
            ("Last change", output.clock(found.last_update_time)),
            ("Artifacts", found.artifact_location),
            *((f"Tag {tag.key}", tag.value) for tag in found.tags),
        ]
    )


@experiments.command(examples=["headrace experiments rename churn churn-2026"])
@click.argument("experiment")
@click.argument("new_name")
@tracking_uri_option
@json_option
def rename(experiment: str, new_name: str, tracking_uri: str, as_json: bool) -> None:
    """Give an experiment a new name."""
    with tracking.tracked(tracking_uri) as store:
        found = tracking.find_experiment(store, experiment)
        store.experiments.update(protocol.UpdateExperiment(found.experiment_id, new_name))
    _done(f"Experiment {found.experiment_id} is now {new_name!r}.", found, as_json)


@experiments.command(examples=["headrace experiments delete churn"])
@click.argument("experiment")
@tracking_uri_option
@json_option
def delete(experiment: str, tracking_uri: str, as_json: bool) -> None:
    """Delete an experiment and its runs. It can be restored until `headrace db gc`."""
    with tracking.tracked(tracking_uri) as store:
        found = tracking.find_experiment(store, experiment)
        store.experiments.delete(protocol.ExperimentRef(found.experiment_id))
    message = f"Deleted experiment {found.name!r}; it can be restored: headrace experiments restore"
    _done(f"{message} {found.experiment_id}", found, as_json)


@experiments.command(examples=["headrace experiments restore churn"])
@click.argument("experiment")
@tracking_uri_option
@json_option
def restore(experiment: str, tracking_uri: str, as_json: bool) -> None:
    """Restore a deleted experiment, and the runs that were deleted with it."""
    with tracking.tracked(tracking_uri) as store:
        found = tracking.find_experiment(store, experiment)
        store.experiments.restore(protocol.ExperimentRef(found.experiment_id))
    _done(f"Restored experiment {found.name!r}.", found, as_json)


@experiments.command(
    examples=[
        "headrace experiments export churn -o churn.csv",
        'headrace experiments export churn --filter "metrics.auc > 0.9" > best.csv',
    ]
)
@click.argument("experiment")
@click.option(
    "--output",
    "-o",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="-",
    show_default="standard output",
    help="The file to write.",
)
@click.option("--filter", "text", metavar="TEXT", help="Only runs that it accepts.")
@view_option
@tracking_uri_option
def export(experiment: str, file: Path, text: str | None, view: str, tracking_uri: str) -> None:
    """Write the runs of an experiment as CSV: a line a run, a column a key.

    Metrics are the latest values. Columns are the run's own facts, then params.KEY, metrics.KEY
    and tags.KEY.
    """
    with tracking.tracked(tracking_uri) as store:
        found = tracking.find_experiment(store, experiment)
        search = runs.SearchRuns(
            experiment_ids=[found.experiment_id], filter=text, run_view_type=view_type(view)
        )
        if str(file) == "-":
            _write_csv(store, search, sys.stdout)
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            with partial.open("w", newline="", encoding="utf-8") as stream:
                count = _write_csv(store, search, stream)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    output.note(f"Wrote {count} runs to {file}.")


_FACTS = (
    "run_id", "run_name", "experiment_id", "status", "user_id", "start_time", "end_time",
    "lifecycle_stage", "artifact_uri",
)  # fmt: skip


def _write_csv(store: Store, search: runs.SearchRuns, stream: IO[str]) -> int:
    """Write all runs in two passes, one for the columns and one for the lines; how many lines.

    So memory holds one page of runs, however many there are. A key that first appears between
    the passes is left out.
    """
    columns: dict[str, None] = {}
    for run in tracking.each_run(store, search):
        columns.update(dict.fromkeys(name for name, _ in _cells(run)))
    writer = csv.DictWriter(
        stream, [*_FACTS, *sorted(columns)], extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    count = 0
    for run in tracking.each_run(store, search):
        own = {name: getattr(run.info, name) for name in _FACTS}
        writer.writerow({**own, **dict(_cells(run))})
        count += 1
    return count


def _cells(run: runs.Run) -> Iterator[tuple[str, object]]:
    for param in run.data.params:
        yield f"params.{param.key}", param.value
    for metric in run.data.metrics:
        yield f"metrics.{metric.key}", repr(float(metric.value))
    for tag in run.data.tags:
        yield f"tags.{tag.key}", tag.value


def _done(message: str, found: protocol.Experiment, as_json: bool) -> None:
    if as_json:
        output.emit_json({"experiment_id": found.experiment_id})
    else:
        output.note(message)
