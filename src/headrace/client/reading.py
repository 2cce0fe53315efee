"""The fluent API: reading runs, one by one or as tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, overload

from headrace.client.client import Client, current_client
from headrace.client.entities import Run
from headrace.client.experiment import current_experiment_id
from headrace.client.frames import check_output_format, runs_frame, runs_polars
from headrace.client.values import every_page
from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_log: Final = logging.getLogger("headrace")
RUNS_PAGE: Final = 5000
"""Runs asked for at a time: few round trips, and a page of some ten megabytes at most."""


def get_run(run_id: str) -> Run:
    """The run with this id, deleted or not. NotFound."""
    return current_client().get_run(run_id)


def get_parent_run(run_id: str) -> Run | None:
    """The run that this one is nested in; None when there is none. NotFound."""
    return current_client().get_parent_run(run_id)


def delete_run(run_id: str) -> None:
    """Delete a run; `restore_run` brings it back. NotFound."""
    current_client().delete_run(run_id)


def restore_run(run_id: str) -> None:
    """Restore a deleted run. NotFound."""
    current_client().restore_run(run_id)


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: int | str = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    output_format: Literal["pandas"] = ...,
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> pd.DataFrame: ...


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: int | str = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    *,
    output_format: Literal["polars"],
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> pl.DataFrame: ...


@overload
def search_runs(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str = ...,
    run_view_type: int | str = ...,
    max_results: int = ...,
    order_by: Sequence[str] | None = ...,
    *,
    output_format: Literal["list"],
    search_all_experiments: bool = ...,
    experiment_names: Sequence[str] | None = ...,
) -> list[Run]: ...


def search_runs(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: int | str = 1,
    max_results: int = 100_000,
    order_by: Sequence[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
) -> list[Run] | pd.DataFrame | pl.DataFrame:
    """The runs that a filter accepts, newest first unless `order_by` says else.

    Of these experiments, by id or by name; of the current one when none is named; or of all.
    As a DataFrame of "pandas" or "polars" with a column for each metric, parameter and tag, or
    as a "list" of `Run`, which needs neither.
    """
    check_output_format(output_format, ("pandas", "polars", "list"))
    if experiment_ids and experiment_names:
        raise InvalidRequest("Give either 'experiment_ids' or 'experiment_names', not both.")
    client = current_client()
    ids = experiment_ids or _experiments_to_search(client, experiment_names, search_all_experiments)

    def fetch(size: int, token: str | None) -> tuple[list[Run], str | None]:
        page = client.search_runs(ids, filter_string, run_view_type, size, order_by, token)
        return page, page.token

    found = every_page(fetch, max_results, RUNS_PAGE) if ids else []
    if output_format == "list":
        return found
    return runs_frame(found) if output_format == "pandas" else runs_polars(found)


def _experiments_to_search(
    client: Client, experiment_names: Sequence[str] | None, everywhere: bool
) -> list[str]:
    if experiment_names:
        return _ids_of(client, experiment_names)
    if not everywhere:
        return [current_experiment_id()]
    ids: list[str] = []
    token: str | None = None
    while True:
        page = client.search_experiments(page_token=token)
        ids += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return ids


def _ids_of(client: Client, experiment_names: Sequence[str]) -> list[str]:
    ids = []
    for name in experiment_names:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            _log.warning("There is no experiment named %r; its runs are not searched.", name)
        else:
            ids.append(experiment.experiment_id)
    return ids
