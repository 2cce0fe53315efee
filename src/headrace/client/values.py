"""From what a caller gives to request structs; a mistake raises here, before anything is sent."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from headrace.errors import InvalidRequest
from headrace.protocol import codec, limits
from headrace.protocol.wire import Param, Tag

T = TypeVar("T")


def checked(request: type[T], /, **fields: Any) -> T:
    """The request with these fields, types and bounds included; None stands for absent.

    Raises InvalidRequest naming the field. Building the struct itself would not look at types.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return codec.from_builtins(given, request)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def number(key: str, value: Any) -> float:
    """The value of the metric `key` as a float: any number, or an array or tensor of one.

    Raises InvalidRequest.
    """
    try:
        return float(value)
    # RuntimeError: how PyTorch says that a tensor has more than one element.
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InvalidRequest(
            f"Invalid value {_shown(value)} for metric '{key}': expected a number."
        ) from None


def whole(value: Any) -> Any:
    """A whole number of any library as an int; everything else as it is, to be checked later."""
    try:
        return operator.index(value)
    except TypeError:
        return int(value) if isinstance(value, float) and value.is_integer() else value


def identifier(value: Any) -> Any:
    """An id that somebody holds as an int, as the text that it is on the wire."""
    return str(value) if type(value) is int else value


def metric_points(
    metrics: Mapping[str, Any],
    step: Any,
    timestamp: Any,
    model_id: str | None = None,
    dataset: Any = None,
) -> list[dict[str, Any]]:
    """One point for each of `metrics`, all at the same step and time."""
    shared: dict[str, Any] = {
        "timestamp": now() if timestamp is None else whole(timestamp),
        "step": 0 if step is None else whole(step),
    }
    if model_id is not None:
        shared["model_id"] = model_id
    if dataset is not None:
        shared["dataset_name"] = dataset.name
        shared["dataset_digest"] = dataset.digest
    pairs = mapping("metrics", metrics).items()
    return [{"key": key, "value": number(key, value), **shared} for key, value in pairs]


def point_fields(metric: Any) -> dict[str, Any]:
    """A Metric, ours or MLflow's, as fields that can be checked. Raises InvalidRequest."""
    _require(metric, "metrics", "a Metric", ("key", "value", "timestamp", "step"))
    fields = {
        "key": metric.key,
        "value": number(metric.key, metric.value),
        "timestamp": now() if metric.timestamp is None else whole(metric.timestamp),
        "step": 0 if metric.step is None else whole(metric.step),
    }
    for name in ("model_id", "dataset_name", "dataset_digest"):
        value = getattr(metric, name, None)
        if value is not None:
            fields[name] = value
    return fields


def pairs(field: str, values: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A dictionary of tags or parameters as the wire's list; values become texts."""
    return [{"key": key, "value": str(value)} for key, value in mapping(field, values).items()]


def pair_fields(given: Iterable[Param | Tag]) -> list[dict[str, Any]]:
    """Params or tags, ours or MLflow's, as fields that can be checked. Raises InvalidRequest."""
    given = list(given)
    for pair in given:
        _require(pair, "params and tags", "a Param or a Tag", ("key", "value"))
    return [{"key": pair.key, "value": str(pair.value)} for pair in given]


def mapping(field: str, values: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """`values`, or an empty dictionary for None. Raises InvalidRequest for anything else."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidRequest(
            f"Invalid value {_shown(values)} for '{field}': expected a dictionary of names and "
            "values."
        )
    return values


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


def every_page(
    fetch: Callable[[int, str | None], tuple[list[T], str | None]],
    limit: int | None,
    page_size: int,
) -> list[T]:
    """The first `limit` items (all, for None) that `fetch(size, token)` gives page by page."""
    found: list[T] = []
    token: str | None = None
    while limit is None or len(found) < limit:
        size = page_size if limit is None else min(page_size, limit - len(found))
        page, token = fetch(size, token)
        found += page
        if not token:
            break
    return found


def _require(value: Any, field: str, expected: str, names: tuple[str, ...]) -> None:
    if not all(hasattr(value, name) for name in names):
        raise InvalidRequest(f"Invalid value {_shown(value)} in '{field}': expected {expected}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
