"""The narrow way that everything a run logs takes: the seam for other ways of writing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from headrace.protocol import limits
from headrace.protocol.metrics import LogMetric
from headrace.protocol.runs import LogBatch, LogParam, SetTag
from headrace.store.base import Store

Entry = LogMetric | LogParam | SetTag | LogBatch


class RunLogger(Protocol):
    """Takes what runs log. Entries of one run take effect in the order they were written."""

    def write(self, entry: Entry) -> None:
        """Take an entry. What it raises is the caller's to hear."""
        ...

    def flush(self, run_id: str) -> None:
        """Return when all that was written for the run is stored: before the run is ended."""
        ...


class DirectLogger:
    """Writes each entry to the store and returns when it is committed."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    def write(self, entry: Entry) -> None:
        """See RunLogger."""
        store = self._store()
        if isinstance(entry, LogMetric):
            store.metrics.log(entry)
        elif isinstance(entry, LogBatch):
            store.runs.log_batch(entry)
        elif isinstance(entry, LogParam):
            store.runs.log_param(entry)
        else:
            store.runs.set_tag(entry)

    def flush(self, run_id: str) -> None:
        """See RunLogger. There is nothing left to write."""


class LogOperation:
    """What a logging call with `synchronous=False` gives back."""

    def wait(self) -> None:
        """Return when what was logged is stored."""


def operation(synchronous: bool | None) -> LogOperation | None:
    """What a logging call gives back, by its `synchronous` parameter."""
    return LogOperation() if synchronous is False else None


def batches(
    metrics: list[dict[str, Any]], params: list[dict[str, Any]], tags: list[dict[str, Any]]
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What was given, in as many pieces as the protocol's limits ask for, in order.

    Parameters and tags go first, so that a reader of a metric finds what it belongs to.
    """
    at = {"params": 0, "tags": 0, "metrics": 0}
    given = {"params": params, "tags": tags, "metrics": metrics}
    most = {
        "params": limits.MAX_PARAMS_PER_BATCH,
        "tags": limits.MAX_TAGS_PER_BATCH,
        "metrics": limits.MAX_METRICS_PER_BATCH,
    }
    while any(at[kind] < len(given[kind]) for kind in given):
        room = limits.MAX_ENTITIES_PER_BATCH
        batch: dict[str, list[dict[str, Any]]] = {}
        for kind, items in given.items():
            taken = items[at[kind] : at[kind] + min(room, most[kind])]
            at[kind] += len(taken)
            room -= len(taken)
            batch[kind] = taken
        yield batch
