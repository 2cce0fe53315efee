"""What the suites for stores make and read: experiments, runs, models, under names of their own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from headrace.errors import HeadraceError
from headrace.protocol import (
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
)
from headrace.protocol.wire import Param, Tag
from headrace.store.base import Store

T = TypeVar("T")

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
AWKWARD_TEXTS = (
    "",
    " ",
    "it's",
    'say "x"',
    "a\\b",
    "%_*?[",
    "line\nbreak\ttab\r",
    "é日本🚂\u202e\u0301",
    "null",
    "NaN",
    "x" * 100_000,
    "日" * 50_000,
)
UNKNOWN = "0" * 32
UNKNOWN_MODEL = f"m-{UNKNOWN}"
UNKNOWN_EXPERIMENT = "999999999"


def unique(prefix: str = "it") -> str:
    """A name that no other test has used."""
    return f"{prefix}-{uuid.uuid4().hex}"


def new_experiment(store: Store, **fields: Any) -> str:
    """The id of a new experiment."""
    request = experiments.CreateExperiment(**{"name": unique("experiment"), **fields})
    return store.experiments.create(request).experiment_id


def get_experiment(store: Store, experiment_id: str) -> experiments.Experiment:
    """An experiment as it is now."""
    return store.experiments.get(experiments.ExperimentRef(experiment_id)).experiment


def new_run(store: Store, experiment_id: str = "0", **fields: Any) -> str:
    """The id of a new run."""
    request = runs.CreateRun(experiment_id=experiment_id, **fields)
    return store.runs.create(request).run.info.run_id


def get_run(store: Store, run_id: str) -> runs.Run:
    """A run as it is now, whole, its parts by key."""
    return by_key(store.runs.get(runs.RunRef(run_id)).run)


def by_key(run: runs.Run) -> runs.Run:
    """A run whose metrics, parameters and tags, which a store gives in any order, are sorted."""
    for part in (run.data.metrics, run.data.params, run.data.tags):
        part.sort(key=attrgetter("key"))
    return run


def new_model(store: Store, experiment_id: str = "0", **fields: Any) -> logged_models.LoggedModel:
    """A new logged model."""
    request = logged_models.CreateLoggedModel(experiment_id=experiment_id, **fields)
    return store.logged_models.create(request).model


def get_model(store: Store, model_id: str) -> logged_models.LoggedModel:
    """A logged model as it is now."""
    return store.logged_models.get(logged_models.GetLoggedModel(model_id)).model


def new_registered_model(store: Store, **fields: Any) -> str:
    """The name of a new registered model."""
    name = unique("model")
    store.registered_models.create(registered_models.CreateRegisteredModel(name, **fields))
    return name


def get_registered_model(store: Store, name: str) -> registered_models.RegisteredModel:
    """A registered model as it is now."""
    ref = registered_models.RegisteredModelRef(name)
    return store.registered_models.get(ref).registered_model


def new_version(store: Store, name: str, **fields: Any) -> model_versions.ModelVersion:
    """A new version of a registered model; its files lie in a bucket unless `source` is given."""
    request = model_versions.CreateModelVersion(name, **{"source": "s3://bucket/model", **fields})
    return store.model_versions.create(request).model_version


def get_version(store: Store, name: str, version: str) -> model_versions.ModelVersion:
    """A version as it is now."""
    ref = model_versions.ModelVersionRef(name, version)
    return store.model_versions.get(ref).model_version


def log_point(store: Store, run_id: str, key: str, value: float, timestamp: int, step: int) -> None:
    """Log one point of a metric."""
    store.metrics.log(
        metrics.LogMetric(run_id=run_id, key=key, value=value, timestamp=timestamp, step=step)
    )


def history(store: Store, run_id: str, key: str) -> list[metrics.Metric]:
    """All points of a metric."""
    return store.metrics.history(metrics.GetMetricHistory(run_id=run_id, metric_key=key)).metrics


def plain(points: Iterable[metrics.Metric]) -> list[tuple[int, int, str]]:
    """Points as (timestamp, step, value), the value as text: then NaN equals NaN."""
    return [(point.timestamp, point.step, repr(float(point.value))) for point in points]


def latest(store: Store, run_id: str) -> dict[str, tuple[int, int, str]]:
    """The latest point of each metric of a run, as `plain` writes it."""
    found = get_run(store, run_id).data.metrics
    return {point.key: plain([point])[0] for point in found}


def as_dict(pairs: Iterable[Tag | Param]) -> dict[str, str]:
    """Tags or parameters by key; a key that is there twice is an error."""
    listed = [(pair.key, pair.value) for pair in pairs]
    found = dict(listed)
    assert len(found) == len(listed), f"a key is there twice: {listed}"
    return found


def outcomes(calls: Sequence[Callable[[], T]]) -> list[T | HeadraceError]:
    """What each call returns or raises when all are made at once, each by a thread of its own."""
    start = threading.Barrier(len(calls))
    found: list[Any] = [None] * len(calls)

    def make(number: int) -> None:
        start.wait()
        try:
            found[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 - judged by the test, in its own thread
            found[number] = error

    threads = [threading.Thread(target=make, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def all_pages(ask: Callable[[str | None], tuple[list[T], str | None]]) -> list[T]:
    """The items of all pages; `ask` gives the page behind a token, and the next token."""
    found, token = ask(None)
    items = list(found)
    while token:
        found, token = ask(token)
        assert found, "a page that another one announced is empty"
        items += found
    return items
