"""The short way from requests to a table where no signature says what its columns are.

Each column is of the type that pandas gives such values; requests go together whose columns are of
the same types.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.models.json_values import are_objects
from headrace.models.schema import ColSpec, DataType
from headrace.serving.worker.columns import NotTaken
from headrace.serving.worker.rows import TABLE, Layout, Rows, keep, split_of

_TYPES: Final[dict[frozenset[type], DataType]] = {
    frozenset({bool}): DataType.boolean,
    frozenset({int}): DataType.long,
    frozenset({float}): DataType.double,
    frozenset({float, int}): DataType.double,
    frozenset({str}): DataType.string,
}


class InferredRows:
    """Which requests are taken, and what their rows are."""

    def __init__(self) -> None:
        self._layouts: dict[Any, Layout] = {}

    def rows_of(self, name: str, value: Any) -> Rows:
        """The rows in the `dataframe_split` (or another format's `name`) of a request.

        Raises NotTaken.
        """
        if name == "dataframe_split":
            labels, rows = split_of(value)
        elif name == "dataframe_records" and value and are_objects(value):
            labels = [*value[0]]
            if any([*row] != labels for row in value):
                raise NotTaken
            rows = [[*row.values()] for row in value]
        else:
            raise NotTaken
        found = [_TYPES.get(frozenset(map(type, column))) for column in zip(*rows, strict=True)]
        types = [kind for kind in found if kind is not None]
        if not types or len(types) != len(found):
            raise NotTaken
        key = (None if labels is None else tuple(labels), tuple(types))
        layout = self._layouts.get(key)
        if layout is None:
            made = Layout([ColSpec(kind) for kind in types], labels, TABLE)
            layout = keep(self._layouts, key, made)
        return Rows(layout, rows)
