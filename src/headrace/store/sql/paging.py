"""Pages of a search by keyset: a page starts behind the last row of the one before.

The page token holds that row's sort values, so a page costs the same at any depth, and rows that
come or go meanwhile neither repeat nor hide others, as they would with an OFFSET. It also holds
a digest of the search, so that it cannot be taken to another one. Sorting is total: the fields
that were asked for, then the entity's own order, which ends with something unique. Rows that
lack a field come last whichever its direction; of a metric, values come first, then NaN.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from headrace.errors import InvalidRequest
from headrace.protocol.limits import INT64_MAX, INT64_MIN
from headrace.search import Dialect, Filter, Kind, OrderTerm
from headrace.search.lexer import refuse_unstorable
from headrace.search.parser import MAX_ORDER_TERMS
from headrace.store.sql import tables as t
from headrace.store.sql.dialect import Dialect as Database
from headrace.store.sql.filters import DatasetRef, conditions, on_dataset
from headrace.store.sql.searchable import SEARCHABLE, ByKey, key_is, owned

MAX_TOKEN_LENGTH: Final = 4_000_000
"""Characters in a page token: sort values may be long texts."""

_LABEL = "sort_{}"
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_HAS_VALUE, _IS_NAN, _IS_MISSING = range(3)

SortValue = str | int | float | None


@dataclass(frozen=True)
class _SortColumn:
    """One expression of the ORDER BY; `python` is the type of its values."""

    expression: sa.ColumnElement[Any]
    ascending: bool
    python: type
    nullable: bool = False


class Search:
    """One search, from which its pages are asked.

    `scope` is whatever else the result depends on, such as ids of experiments and the view type:
    plain values; a page token is good for the same scope only.
    """

    def __init__(
        self,
        dialect: Dialect,
        parsed: Filter,
        order: Sequence[OrderTerm] = (),
        *,
        scope: Iterable[object] = (),
        datasets: Sequence[DatasetRef] = (),
    ) -> None:
        if len(order) > MAX_ORDER_TERMS:
            raise InvalidRequest(
                f"'order_by' has {len(order)} items; at most {MAX_ORDER_TERMS} are allowed."
            )
        self._dialect = dialect
        self._filter = parsed
        self._datasets = tuple(datasets)
        self._searchable = SEARCHABLE[dialect]
        self._source: sa.FromClause = self._searchable.source
        self._columns: list[_SortColumn] = []
        named = [(term.dataset_name, term.dataset_digest) for term in order]
        for text in (text for pair in (*self._datasets, *named) for text in pair if text):
            refuse_unstorable(text, "name or digest of a data set")
        for term in order:
            self._add(term)
        asked = {term.key for term in order if term.kind is Kind.ATTRIBUTE}
        for name, ascending in self._searchable.order:
            if name not in asked:
                self._add(OrderTerm(Kind.ATTRIBUTE, name, ascending))
        self._digest = _digest(
            *(dialect.value, *scope, self._datasets, *order),
            # Where a comparison stands in the text says nothing about what it finds.
            *((c.kind, c.key, c.operator, c.value) for c in parsed.comparisons),
        )

    def statement(
        self,
        database: Database,
        columns: Sequence[sa.ColumnElement[Any]],
        where: Sequence[sa.ColumnElement[bool]],
        max_results: int,
        page_token: str | None,
    ) -> sa.Select[Any]:
        """SELECT `columns` of one page, and one row more, which tells that another follows.

        The rows have columns beyond those asked for; give them to `cut`. Raises InvalidRequest
        for a page token that is damaged or comes from another search.
        """
        matching, lists = conditions(self._filter, self._dialect, database, self._datasets)
        labels = [c.expression.label(_LABEL.format(i)) for i, c in enumerate(self._columns)]
        statement = (
            sa.select(*columns, *labels)
            .select_from(self._source)
            .where(*where, *matching)
            .order_by(
                *(c.expression if c.ascending else c.expression.desc() for c in self._columns)
            )
            .limit(max_results + 1)
        )
        if page_token:
            statement = statement.where(*_behind(self._columns, self._read_token(page_token)))
        return statement.params(lists) if lists else statement

    def cut(
        self, rows: Sequence[sa.Row[Any]], max_results: int
    ) -> tuple[Sequence[sa.Row[Any]], str | None]:
        """The rows of the page, and the token of the next one, or None if this is the last."""
        if len(rows) <= max_results:
            return rows, None
        page = rows[:max_results]
        return page, self._write_token(page[-1][-len(self._columns) :])

    # ------------------------------------------------------------------------------ order

    def _add(self, term: OrderTerm) -> None:
        """Sort by a term, joining the table that holds its values."""
        if term.kind is Kind.ATTRIBUTE:
            column = self._searchable.attributes[term.key]
            self._add_column(column, term.ascending, nullable=bool(column.nullable))
            return
        by_key = self._searchable.by_key[term.kind]
        values = _values_to_sort_by(by_key, term, f"order_{len(self._columns)}")
        joined = [owned(self._searchable, by_key, values)]
        if by_key.unique:
            joined.append(key_is(by_key, values, term.key))
        self._source = self._source.outerjoin(values, sa.and_(*joined))
        self._add_column(values.c.value, term.ascending, nullable=True)

    def _add_column(
        self, column: sa.ColumnElement[Any], ascending: bool, *, nullable: bool
    ) -> None:
        """Sort by a column, behind a rank where it can be missing or NaN."""
        is_metric = isinstance(column.type, t.MetricValue)
        if nullable:
            whens: list[tuple[sa.ColumnElement[bool], sa.ColumnElement[int]]]
            whens = [(column.is_(None), sa.literal_column(str(_IS_MISSING)))]
            if is_metric:
                is_nan = column == sa.literal(math.nan, t.MetricValue)
                whens.append((is_nan, sa.literal_column(str(_IS_NAN))))
            rank = sa.case(*whens, else_=sa.literal_column(str(_HAS_VALUE)))
            self._columns.append(_SortColumn(sa.type_coerce(rank, sa.BigInteger), True, int))
        python = float if is_metric else int if isinstance(column.type, sa.Integer) else str
        self._columns.append(_SortColumn(column, ascending, python, nullable))

    # ------------------------------------------------------------------------------ token

    def _write_token(self, values: Sequence[Any]) -> str:
        plain = [None if _is_nan(value) else value for value in values]
        text = json.dumps({"search": self._digest, "after": plain}, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _read_token(self, token: str) -> list[SortValue]:
        decoded = _decode(token)
        if decoded is None or not isinstance(decoded.get("search"), str):
            raise InvalidRequest(
                "Invalid 'page_token': expected the 'next_page_token' of an earlier answer, "
                "unchanged. Leave it out to start with the first page."
            )
        if decoded["search"] != self._digest:
            raise InvalidRequest(
                "Invalid 'page_token': it comes from a search with another filter, order_by or "
                "set of ids. Ask with the same ones, or leave it out to start anew."
            )
        values = decoded.get("after")
        if not isinstance(values, list) or len(values) != len(self._columns):
            raise InvalidRequest("Invalid 'page_token': it was changed since it was given.")
        for value, column in zip(values, self._columns, strict=True):
            if not _fits(value, column):
                raise InvalidRequest("Invalid 'page_token': it was changed since it was given.")
        return values


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _values_to_sort_by(by_key: ByKey, term: OrderTerm, name: str) -> sa.FromClause:
    """A by-key table with at most one row an owner and key; the latest where it holds many."""
    if by_key.unique:
        return by_key.table.alias(name)
    table = by_key.table
    owners = [table.c[owner] for owner in by_key.owner]
    newest = (table.c.timestamp.desc(), table.c.step.desc(), table.c.run_id)
    place = sa.func.row_number().over(partition_by=owners, order_by=newest).label("place")
    points = sa.select(*owners, table.c.value, place).where(key_is(by_key, table, term.key))
    if term.dataset_name is not None:
        points = points.where(on_dataset(table, term.dataset_name, term.dataset_digest))
    numbered = points.subquery(f"{name}_points")
    latest = [numbered.c[owner] for owner in by_key.owner]
    return sa.select(*latest, numbered.c.value).where(numbered.c.place == 1).subquery(name)


def _behind(
    columns: Sequence[_SortColumn], values: Sequence[SortValue]
) -> list[sa.ColumnElement[bool]]:
    """The conditions that a row comes behind the row with these sort values.

    Behind (a, b, c) is: above a; or equal and above b; or equal, equal and above c. A missing
    value or NaN has nothing above it and is equal to all of its rank, which stands before it.
    """
    known = [
        (column, _bind(column, value))
        for column, value in zip(columns, values, strict=True)
        if value is not None
    ]
    cases: list[sa.ColumnElement[bool]] = []
    for i, (column, value) in enumerate(known):
        expression = column.expression
        above = expression > value if column.ascending else expression < value
        equal = (other.expression == bound for other, bound in known[:i])
        cases.append(sa.and_(*equal, above))
    first, bound = known[0]
    # Says nothing new, but says it so that an index on the first column can start there.
    start = first.expression >= bound if first.ascending else first.expression <= bound
    return [start, sa.or_(*cases)]


def _bind(column: _SortColumn, value: SortValue) -> sa.ColumnElement[Any]:
    types: dict[type, Any] = {int: sa.BigInteger, float: t.MetricValue, str: sa.Text}
    return sa.literal(value, types[column.python])


def _decode(token: str) -> dict[str, Any] | None:
    """The JSON object in a token, or None for anything else."""
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        decoded = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _fits(value: object, column: _SortColumn) -> bool:
    """Whether a value from outside can be compared with the column in any database."""
    if value is None:
        return column.nullable
    if isinstance(value, bool):
        return False
    if column.python is float:
        return isinstance(value, float) and not _is_nan(value)
    if column.python is int:
        return isinstance(value, int) and INT64_MIN <= value <= INT64_MAX
    return isinstance(value, str) and not _NUL_OR_SURROGATE.search(value)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
