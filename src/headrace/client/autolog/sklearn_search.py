"""The results of a search for parameters: best ones, a table, and child runs for the best."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from numbers import Number
from typing import Any, Final

from headrace.client import active
from headrace.client.autolog.recording import AUTOLOGGING_TAG, Recorder
from headrace.protocol.runs import PARENT_RUN_TAG, SOURCE_NAME_TAG, SOURCE_TYPE_TAG, USER_TAG

_NOT_METRICS: Final = ("param", "split")
"""Columns of the results that start so are parameters, or metrics of one fold."""


def is_search(estimator: Any) -> bool:
    """Whether this is `GridSearchCV` or one of its kind, derived from `BaseSearchCV`."""
    from sklearn.model_selection._search import BaseSearchCV

    return isinstance(estimator, BaseSearchCV)


def best_of(search: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and metrics of the best candidate; nothing where none was chosen."""
    params = {f"best_{name}": value for name, value in getattr(search, "best_params_", {}).items()}
    score = getattr(search, "best_score_", None)
    return params, {} if score is None else {"best_cv_score": score}


def results_as_csv(results: Mapping[str, Any]) -> str:
    """`cv_results_` as CSV: a row for each candidate; empty where one has no such parameter."""
    import numpy as np

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(results)
    for row in zip(*results.values(), strict=True):
        writer.writerow("" if value is np.ma.masked else value for value in row)
    return text.getvalue()


def log_candidates(
    log: Recorder, search: Any, most: int | None, tags: Mapping[str, str], dataset: Any
) -> None:
    """Make a child run for each of the `most` best candidates, for all of them for None.

    Each has all parameters of its estimator, and the mean and deviation of its metrics.
    """
    from headrace.client.values import now

    results = search.cv_results_
    parent = active.active_run()
    if parent is None:
        return
    seed = search.estimator
    base = seed.get_params(deep=not is_search(seed))
    shared = {
        name: value
        for name, value in parent.data.tags.items()
        if name in (USER_TAG, SOURCE_NAME_TAG, SOURCE_TYPE_TAG)
    }
    end = now()
    for index in _best_first(results, most):
        run = log.client.create_run(
            parent.info.experiment_id,
            start_time=parent.info.start_time,
            tags={**shared, AUTOLOGGING_TAG: "sklearn", PARENT_RUN_TAG: log.run_id, **tags},
        )
        child = log.of_run(run.info.run_id)
        child.params({**base, **results["params"][index]})
        child.metrics(_metrics_of(results, index), dataset=dataset)
        if dataset is not None:
            child.dataset(dataset, "train")
        log.client.set_terminated(run.info.run_id, end_time=end)


def _best_first(results: Mapping[str, Any], most: int | None) -> list[int]:
    """Candidates by rank; with several metrics by the first of them, when none is called score."""
    count = len(results["params"])
    ranks = [name for name in results if name.startswith("rank_test_")]
    rank = "rank_test_score" if "rank_test_score" in ranks else next(iter(ranks), None)
    order = list(range(count))
    if rank is not None:
        order.sort(key=lambda index: float(results[rank][index]))
    return order[:most]


def _metrics_of(results: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {
        name: column[index]
        for name, column in results.items()
        if not name.startswith(_NOT_METRICS) and isinstance(column[index], Number)
    }
