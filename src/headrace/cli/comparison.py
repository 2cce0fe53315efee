"""`headrace runs compare`: what differs between runs, side by side."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli import output, tracking
from headrace.cli.command import Command
from headrace.cli.options import json_option, tracking_uri_option


@click.command(
    cls=Command,
    examples=[
        "headrace runs compare RUN_ID RUN_ID",
        "headrace runs compare RUN_ID RUN_ID RUN_ID --all",
        "headrace runs compare RUN_ID RUN_ID --json",
    ],
)
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also rows in which the runs are equal.")
@tracking_uri_option
@json_option
def compare(run_ids: tuple[str, ...], everything: bool, tracking_uri: str, as_json: bool) -> None:
    """Put runs side by side: a column a run, a row for what differs between them.

    Parameters, latest metrics, tags, data sets, code, environment, versions of packages and
    attributes are compared.
    """
    from headrace.client.client import Client
    from headrace.client.compare import comparison_of, packages_of
    from headrace.client.entities import run_from_wire
    from headrace.protocol.runs import RunRef

    if len(run_ids) < 2:
        raise click.UsageError("Comparing needs two runs or more.")
    with tracking.tracked(tracking_uri) as store:
        found = [run_from_wire(store.runs.get(RunRef(run_id)).run) for run_id in run_ids]
    client = Client(tracking.normalized(tracking_uri))
    packages = [packages_of(client, run_id) for run_id in run_ids]
    comparison = comparison_of(found, packages, everything=everything)
    if as_json:
        output.emit_json(comparison.to_dict())
        return
    infos = [run.info for run in found]
    rows: list[tuple[str, ...]] = [
        ("run", *(info.run_id for info in infos)),
        ("name", *(info.run_name for info in infos)),
        ("took", *(output.lasted(info.start_time, info.end_time) for info in infos)),
    ]
    rows += [(name, *map(_cell, values)) for name, values in comparison.differences.items()]
    output.table(("", *(f"RUN {number}" for number in range(1, len(found) + 1))), rows)
    if not comparison.differences:
        output.note("The runs do not differ.")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return output.number(value) if isinstance(value, float) else str(value)
