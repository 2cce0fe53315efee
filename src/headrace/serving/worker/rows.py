"""The short way from requests in JSON to a table: rows, and one table for all of a batch.

A plan is made once from a signature of columns. It takes the requests that are as most are, and
makes of any number of them the table that `decode_payload` and `enforce_input` would make of their
rows, without a table for each. What it does not take, it leaves to these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from headrace.models.json_values import are_objects
from headrace.models.schema import ColSpec, DataType, Schema
from headrace.serving.worker.columns import Build, NotTaken, build_for, numbers

_NUMBERS: Final[frozenset[type]] = frozenset({float, int, type(None)})
_MOST_LAYOUTS: Final = 64
_log: Final = logging.getLogger("headrace")


@dataclass(frozen=True)
class _Format:
    """The Python classes that a value may have in a column of a type; other types are not taken."""

    kinds: dict[DataType, frozenset[type]]
    takes_nested: bool = False


_KINDS: Final[dict[DataType, frozenset[type]]] = {
    DataType.boolean: frozenset({bool}),
    DataType.integer: frozenset({int}),
    DataType.long: frozenset({int}),
    DataType.float: _NUMBERS,
    DataType.double: _NUMBERS,
    DataType.string: frozenset({str}),
    DataType.binary: frozenset({str}),
    DataType.datetime: frozenset({str}),
}
TABLE: Final = _Format(_KINDS, takes_nested=True)
"""Tables in `dataframe_split` and `dataframe_records`, with rows as lists or objects."""
_ARRAYS: Final = _Format(_KINDS)
_OBJECTS: Final = _Format(
    {
        DataType.boolean: frozenset({bool}),
        DataType.long: frozenset({int}),
        DataType.double: frozenset({float, int}),
        DataType.string: frozenset({str}),
    }
)
"""Of objects in `inputs`, whose numbers are not converted before they are enforced."""
_OF_OBJECTS: Final = {"dataframe_records": TABLE, "instances": _ARRAYS, "inputs": _OBJECTS}


class Layout:
    """Columns of the signature that are there, in its order, and how a format fills them.

    `labels` are their names; None where neither the signature nor the request names them.
    """

    def __init__(
        self, specs: Sequence[ColSpec], labels: Sequence[str] | None, format_: _Format
    ) -> None:
        self.labels = labels
        types = tuple(spec.type for spec in specs)
        self.key = (None if labels is None else tuple(labels), types, id(format_))
        """Equal for layouts that are."""
        self._types = [spec.type for spec in specs]
        self._kinds = format_.kinds
        self.is_taken = bool(specs) and all(
            kind in format_.kinds if isinstance(kind, DataType) else format_.takes_nested
            for kind in self._types
        )
        """Whether such requests are taken at all."""
        self._is_all_double = set(self._types) == {DataType.double}

    @cached_property
    def pick(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        """The values of an object in the order of the columns, of which there is at least one."""
        labels = self.labels or ()
        if not labels:
            raise NotTaken
        if len(labels) == 1:
            return lambda row: (row[labels[0]],)
        return itemgetter(*labels)

    @cached_property
    def _index(self) -> Any:
        import pandas as pd

        return pd.RangeIndex(len(self._types)) if self.labels is None else pd.Index([*self.labels])

    @cached_property
    def _builds(self) -> list[Build]:
        return [
            build_for(kind, self._kinds[kind] if isinstance(kind, DataType) else frozenset())
            for kind in self._types
        ]

    def table(self, rows: Sequence[Sequence[Any]]) -> Any:
        """A DataFrame of rows, each as wide as the layout. Raises NotTaken."""
        import pandas as pd

        try:
            if self._is_all_double:
                return pd.DataFrame(self._doubles(rows), columns=self._index, copy=False)
            columns = zip(self._builds, zip(*rows, strict=True), strict=True)
            made = {place: build(v) for place, (build, v) in enumerate(columns)}
            frame = pd.DataFrame(made, copy=False)
        except (TypeError, ValueError, OverflowError):
            raise NotTaken from None
        frame.columns = self._index
        return frame

    def _doubles(self, rows: Sequence[Sequence[Any]]) -> Any:
        found = set(map(type, chain.from_iterable(rows)))
        if not found <= self._kinds[DataType.double]:
            raise NotTaken
        return numbers(rows, found)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one request, at least one, their values in the order of the layout's columns."""

    layout: Layout
    rows: Sequence[Sequence[Any]]


class RowPlan:
    """Which requests for a schema of columns are taken, and what their rows are."""

    def __init__(self, schema: Schema) -> None:
        self._specs = [spec for spec in schema if isinstance(spec, ColSpec)]
        self._has_names = schema.has_input_names()
        self._required = {spec.name for spec in self._specs if spec.required}
        self._known = {spec.name for spec in self._specs}
        self._layouts: dict[Any, Layout] = {}
        self._unused: set[frozenset[str]] = set()

    def rows_of(self, name: str, value: Any) -> Rows:
        """The rows in the `dataframe_split` (or another format's `name`) of a request.

        Raises NotTaken.
        """
        if name == "dataframe_split":
            found = self._split(value)
        elif not self._has_names:
            raise NotTaken
        elif name in ("inputs", "instances") and not are_objects(value):
            found = self._columns(value)
        else:
            found = self._objects(name, value)
        if not found.rows or not found.layout.is_taken:
            raise NotTaken
        return found

    def _split(self, value: Any) -> Rows:
        columns, rows = split_of(value)
        if not self._has_names:
            return Rows(self._unnamed(columns, rows), rows)
        if columns is None:
            raise NotTaken
        layout = self._layout(columns, TABLE)
        if columns == layout.labels:
            return Rows(layout, rows)
        places = [columns.index(label) for label in layout.labels or ()]
        return Rows(layout, [[row[place] for place in places] for row in rows])

    def _objects(self, name: str, value: Any) -> Rows:
        if not value or not are_objects(value):
            raise NotTaken
        names = value[0].keys()
        if any(row.keys() != names for row in value):
            raise NotTaken
        layout = self._layout(names, _OF_OBJECTS[name])
        return Rows(layout, [*map(layout.pick, value)])

    def _columns(self, value: Any) -> Rows:
        """A list for each column, or for the only one."""
        if isinstance(value, list) and len(self._specs) == 1:
            value = {self._specs[0].name: value}
        if not isinstance(value, dict) or not value.keys() <= self._known:
            raise NotTaken
        layout = self._layout(value, _ARRAYS)
        columns = layout.pick(value)
        if not all(isinstance(column, list) for column in columns):
            raise NotTaken
        if len(set(map(len, columns))) != 1:
            raise NotTaken
        return Rows(layout, [*zip(*columns, strict=True)])

    def _layout(self, names: Collection[str], format_: _Format) -> Layout:
        """The layout of a request that has these columns, in whatever order."""
        given = set(names)
        if len(given) != len(names) or not self._required <= given:
            raise NotTaken
        specs = [spec for spec in self._specs if spec.name in given]
        if len(specs) < len(given):
            self._tell_unused(frozenset(given - self._known))
        labels = [str(spec.name) for spec in specs]
        return self._kept((*labels, id(format_)), specs, labels, format_)

    def _tell_unused(self, names: frozenset[str]) -> None:
        """Once for each set of columns: requests of one caller mostly have the same."""
        if names not in self._unused and len(self._unused) < _MOST_LAYOUTS:
            self._unused.add(names)
            _log.warning(
                "The signature does not name these columns, so they go unused: %s", [*names]
            )

    def _unnamed(self, columns: list[str] | None, rows: Sequence[Any]) -> Layout:
        if len(rows[0] if rows else ()) != len(self._specs):
            raise NotTaken
        key = None if columns is None else tuple(columns)
        return self._kept(key, self._specs, columns, TABLE)

    def _kept(
        self, key: Any, specs: Sequence[ColSpec], labels: Sequence[str] | None, format_: _Format
    ) -> Layout:
        found = self._layouts.get(key)
        return found or keep(self._layouts, key, Layout(specs, labels, format_))


def keep(layouts: dict[Any, Layout], key: Any, layout: Layout) -> Layout:
    """The layout, kept in place of the oldest one where there are many: callers choose columns."""
    if len(layouts) >= _MOST_LAYOUTS:
        del layouts[next(iter(layouts))]
    layouts[key] = layout
    return layout


def plan_for(schema: Schema | None) -> RowPlan | None:
    """A plan for what this schema describes; None where that is no table."""
    if schema is None or schema.is_tensor_spec():
        return None
    if schema.has_input_names():
        is_fit = all(isinstance(name, str) for name in schema.input_names())
    else:
        is_fit = all(isinstance(kind, DataType) for kind in schema.input_types())
    return RowPlan(schema) if is_fit else None


def split_of(value: Any) -> tuple[list[str] | None, list[Any]]:
    """The columns and the rows of a `dataframe_split`, all as wide as there are columns.

    Columns are unlike texts, or None where none is named. Raises NotTaken.
    """
    if not isinstance(value, dict) or not value.keys() <= {"columns", "data", "index"}:
        raise NotTaken
    rows, columns = value.get("data"), value.get("columns")
    if not isinstance(rows, list) or not rows or not _is_counted(value.get("index"), len(rows)):
        raise NotTaken
    if columns is None:
        width = len(rows[0]) if isinstance(rows[0], list) else -1
    elif isinstance(columns, list) and all(isinstance(name, str) for name in columns):
        width = len(columns) if len(set(columns)) == len(columns) else -1
    else:
        raise NotTaken
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        raise NotTaken
    return columns, rows


def _is_counted(index: Any, count: int) -> bool:
    """Whether an index says no more than there being none."""
    if index is None:
        return True
    return index == [*range(count)] and all(type(place) is int for place in index)
