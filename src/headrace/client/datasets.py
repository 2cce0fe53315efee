"""From whatever describes a data set to the wire's DatasetInput."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.client.values import checked, pairs
from headrace.errors import InvalidRequest
from headrace.protocol.datasets import CONTEXT_TAG, Dataset, DatasetInput

_FIELDS = ("name", "digest", "source_type", "source", "schema", "profile")


def dataset_input(
    dataset: Any, context: str | None = None, tags: Mapping[str, str] | None = None
) -> DatasetInput:
    """`dataset` as the input of a run, used for `context`, with more tags of this use.

    Takes a DatasetInput or Dataset, an object with `to_dict()` that gives their fields, or one
    with `name` and `digest`. Raises InvalidRequest for anything else.
    """
    given = pairs("tags", tags)
    if context is not None:
        given.append({"key": CONTEXT_TAG, "value": context})
    if hasattr(dataset, "dataset"):
        given = [{"key": tag.key, "value": tag.value} for tag in dataset.tags] + given
        dataset = dataset.dataset
    if hasattr(dataset, "to_dict"):
        fields = dict(dataset.to_dict())
    elif hasattr(dataset, "name") and hasattr(dataset, "digest"):
        fields = {name: getattr(dataset, name, None) for name in _FIELDS}
    else:
        raise InvalidRequest(
            f"'dataset' is of type {type(dataset).__name__}: expected a data set, an object with "
            "'to_dict()' or with 'name' and 'digest'."
        )
    texts = {name: _text(fields[name]) for name in _FIELDS if fields.get(name) is not None}
    return checked(DatasetInput, dataset=checked(Dataset, **texts), tags=given)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if hasattr(value, "to_json"):
        return str(value.to_json())
    try:
        return json.dumps(value)
    except TypeError:
        return str(value)
