"""`headrace runs`: list, search, show, tag, delete and restore runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import click

from headrace.cli import output, tracking
from headrace.cli.command import Group
from headrace.cli.comparison import compare
from headrace.cli.console import console
from headrace.cli.options import (
    json_option,
    max_results_option,
    tracking_uri_option,
    view_option,
    view_type,
)
from headrace.errors import NotFound
from headrace.protocol import runs as protocol
from headrace.protocol.datasets import CONTEXT_TAG, DatasetInput
from headrace.protocol.logged_models import GetLoggedModel
from headrace.protocol.wire import ViewType
from headrace.store.base import Store

LIST_COLUMNS = 4
"""Parameters, and metrics, that a list has room for."""

experiments_option = click.option(
    "--experiment",
    "-x",
    "experiments",
    multiple=True,
    metavar="NAME|ID",
    help="Only runs of this experiment; may be repeated. All, if not given.",
)


@click.group(cls=Group)
def runs() -> None:
    """List, search, show and compare runs.

    A run is one execution of training code: its parameters, metrics, tags and files.
    """


runs.add_command(compare)


runs.add_command(console)


@runs.command(
    name="list",
    examples=[
        "headrace runs list",
        "headrace runs list -x churn --order-by 'metrics.auc DESC' --max-results 10",
        "headrace runs list --view deleted --json",
    ],
)
@experiments_option
@click.option("--order-by", multiple=True, metavar="FIELD", help="Such as: metrics.auc DESC.")
@max_results_option
@view_option
@tracking_uri_option
@json_option
def list_(
    experiments: tuple[str, ...],
    order_by: tuple[str, ...],
    max_results: int,
    view: str,
    tracking_uri: str,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    search = protocol.SearchRuns(run_view_type=view_type(view), order_by=list(order_by))
    _list(search, experiments, max_results, tracking_uri, as_json)


@runs.command(
    examples=[
        "headrace runs search \"metrics.auc > 0.9 and params.model = 'svm'\"",
        "headrace runs search \"tags.stage = 'prod'\" --order-by 'start_time DESC' --json",
    ]
)
@click.argument("filter_text", metavar="FILTER")
@experiments_option
@click.option("--order-by", multiple=True, metavar="FIELD", help="Such as: metrics.auc DESC.")
@max_results_option
@view_option
@tracking_uri_option
@json_option
def search(
    filter_text: str,
    experiments: tuple[str, ...],
    order_by: tuple[str, ...],
    max_results: int,
    view: str,
    tracking_uri: str,
    as_json: bool,
) -> None:
    """List the runs that a filter accepts.

    A filter compares metrics.KEY, params.KEY, tags.KEY or attributes such as status, run_name and
    start_time, joined by AND. Texts stand in single quotes.
    """
    request = protocol.SearchRuns(
        filter=filter_text, run_view_type=view_type(view), order_by=list(order_by)
    )
    _list(request, experiments, max_results, tracking_uri, as_json)


@runs.command(
    examples=[
        "headrace runs show 5f0c1e2d3b4a59687766554433221100",
        "headrace runs show 5f0c1e2d3b4a59687766554433221100 --json",
    ]
)
@click.argument("run_id")
@tracking_uri_option
@json_option
def show(run_id: str, tracking_uri: str, as_json: bool) -> None:
    """Show one run: its facts, parameters, latest metrics, tags, data sets and models."""
    with tracking.tracked(tracking_uri) as store:
        answer = store.runs.get(protocol.RunRef(run_id))
        models = [] if as_json else list(_models_of(store, answer.run))
    if as_json:
        output.emit_json(answer)
        return
    info, data = answer.run.info, answer.run.data
    output.facts(
        [
            ("Run", info.run_id),
            ("Name", info.run_name),
            ("Experiment", info.experiment_id),
            ("Status", info.status),
            ("Stage", info.lifecycle_stage),
            ("User", info.user_id),
            ("Started", output.clock(info.start_time)),
            ("Ended", output.clock(info.end_time)),
            ("Took", output.lasted(info.start_time, info.end_time)),
            ("Artifacts", info.artifact_uri),
        ]
    )
    inputs = answer.run.inputs.dataset_inputs
    _section("PARAMETER", {p.key: p.value for p in data.params})
    _section("METRIC", {m.key: f"{output.number(m.value)}  (step {m.step})" for m in data.metrics})
    _section("TAG", {t.key: t.value for t in data.tags})
    if inputs:
        click.echo()
        rows = [(i.dataset.name, i.dataset.digest, _context(i)) for i in inputs]
        output.table(("DATA SET", "DIGEST", "CONTEXT"), rows)
    if models:
        click.echo()
        output.table(("MODEL", "URI", "STEP"), models)


def _models_of(store: Store, run: protocol.Run) -> Iterator[tuple[str, str, int]]:
    """The models that a run has made, those that are deleted left out."""
    for made in run.outputs.model_outputs if run.outputs else ():
        with suppress(NotFound):
            found = store.logged_models.get(GetLoggedModel(made.model_id)).model
            yield found.info.name, f"models:/{made.model_id}", made.step


def _context(entry: DatasetInput) -> str:
    return next((tag.value for tag in entry.tags if tag.key == CONTEXT_TAG), "")


@runs.command(examples=["headrace runs set-tag RUN_ID stage prod"])
@click.argument("run_id")
@click.argument("key")
@click.argument("value")
@tracking_uri_option
@json_option
def set_tag(run_id: str, key: str, value: str, tracking_uri: str, as_json: bool) -> None:
    """Write a tag of a run, over what was there."""
    with tracking.tracked(tracking_uri) as store:
        store.runs.set_tag(protocol.SetTag(run_id, None, key, value))
    _done(f"Tagged run {run_id}.", [run_id], as_json)


@runs.command(examples=["headrace runs delete RUN_ID"])
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@tracking_uri_option
@json_option
def delete(run_ids: tuple[str, ...], tracking_uri: str, as_json: bool) -> None:
    """Delete runs. They can be restored until `headrace db gc`."""
    with tracking.tracked(tracking_uri) as store:
        for run_id in run_ids:
            store.runs.delete(protocol.RunRef(run_id))
    which = " ".join(run_ids)
    _done(f"Deleted; to have them back: headrace runs restore {which}", run_ids, as_json)


@runs.command(examples=["headrace runs restore RUN_ID"])
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@tracking_uri_option
@json_option
def restore(run_ids: tuple[str, ...], tracking_uri: str, as_json: bool) -> None:
    """Restore deleted runs."""
    with tracking.tracked(tracking_uri) as store:
        for run_id in run_ids:
            store.runs.restore(protocol.RunRef(run_id))
    _done(f"Restored {len(run_ids)} runs.", run_ids, as_json)


def _list(
    search: protocol.SearchRuns,
    experiments: Sequence[str],
    max_results: int,
    tracking_uri: str,
    as_json: bool,
) -> None:
    with tracking.tracked(tracking_uri) as store:
        search.experiment_ids = _experiment_ids(store, experiments, search)
        found = list(tracking.each_run(store, search, limit=max_results + 1))
    shown = found[:max_results]
    if as_json:
        output.emit_json({"runs": shown})
        return
    print_runs(shown)
    if len(found) > max_results:
        output.note(f"There are more than {max_results}; --max-results shows more.")


def _experiment_ids(
    store: Store, experiments: Sequence[str], search: protocol.SearchRuns
) -> list[str]:
    """The ids of the named experiments; of all that can hold what is searched, if none is named."""
    if experiments:
        return [tracking.find_experiment(store, name).experiment_id for name in experiments]
    active = search.run_view_type == ViewType.ACTIVE_ONLY
    view = ViewType.ACTIVE_ONLY if active else ViewType.ALL
    return [e.experiment_id for e in tracking.each_experiment(store, view)]


def print_runs(found: Sequence[protocol.Run]) -> None:
    """A table of runs, with the parameters and metrics that most of them have."""
    params = _most_common([[p.key for p in run.data.params] for run in found])
    metrics = _most_common([[m.key for m in run.data.metrics] for run in found])
    rows = []
    for run in found:
        info = run.info
        told = {p.key: p.value for p in run.data.params}
        measured = {m.key: output.number(m.value) for m in run.data.metrics}
        rows.append(
            (
                *(info.run_id, info.run_name, info.experiment_id, info.status),
                *(output.clock(info.start_time), output.lasted(info.start_time, info.end_time)),
                *(measured.get(key, "") for key in metrics),
                *(told.get(key, "") for key in params),
            )
        )
    facts = ("RUN", "NAME", "EXP", "STATUS", "STARTED", "TOOK")
    first_param = len(facts) + len(metrics)
    columns = (*facts, *metrics, *params)
    least = [*range(len(columns) - 1, first_param - 1, -1)]
    least += [facts.index(name) for name in ("EXP", "TOOK", "STARTED")]
    least += range(first_param - 1, len(facts), -1)
    least.append(facts.index("STATUS"))  # on 80 columns the first metric says more
    least += range(len(facts), len(facts) + bool(metrics))
    output.table(columns, rows, least)


def _most_common(keys_of_runs: Sequence[Sequence[str]]) -> list[str]:
    counts: dict[str, int] = {}
    for keys in keys_of_runs:
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    return sorted(sorted(counts, key=lambda key: (-counts[key], key))[:LIST_COLUMNS])


def _section(title: str, values: Mapping[str, str]) -> None:
    if values:
        click.echo()
        output.table((title, "VALUE"), sorted(values.items()))


def _done(message: str, run_ids: Sequence[str], as_json: bool) -> None:
    if as_json:
        output.emit_json({"run_ids": list(run_ids)})
    else:
        output.note(message)
