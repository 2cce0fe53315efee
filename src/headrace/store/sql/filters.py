"""A parsed filter to SQL conditions, the same for all five searches and both databases.

A term on a key (a metric, parameter or tag) is one of two conditions. Where an index knows the
values (`=`, IN, a range of a metric of runs) it is `id IN (SELECT owner …)`: SQLite reads that
list once and walks the page's own index beside it. For the others (`!=`, LIKE) it is EXISTS: one
look-up for each row of the page's index, until the page is full. Over 100,000 runs on SQLite
both take 1 to 100 ms whatever matches; a join takes 0.1 or 150, as SQLite's planner, which knows
no figures of the data, guesses. Neither counts towards SQLite's limit of 64 tables in a join, or
makes a row come twice where a key has many values. PostgreSQL plans all three alike, and needs
the figures that its ANALYZE collects to plan them well.

A comparison with a key that is not there is never true, `!=` and NOT IN included; only IS NULL
sees it. NaN is unequal to every number and neither above nor below one.
"""

from __future__ import annotations

import math
import operator as operator_functions
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from headrace.search import Comparison, Dialect, Filter, Kind, Operator, fields
from headrace.store.sql import tables as t
from headrace.store.sql.dialect import Dialect as Database
from headrace.store.sql.searchable import SEARCHABLE, ByKey, key_is, owned

DatasetRef = tuple[str, str | None]
"""The name of a data set and its digest; None stands for any digest."""

PROMPT_TAG: Final = "mlflow.prompt.is_prompt"
"""The tag by which MLflow keeps prompts among the registered models."""

DATASET_CONTEXT_TAG: Final = "mlflow.data.context"

_COMPARE: Final = {
    Operator.EQ: operator_functions.eq,
    Operator.NE: operator_functions.ne,
    Operator.LT: operator_functions.lt,
    Operator.LE: operator_functions.le,
    Operator.GT: operator_functions.gt,
    Operator.GE: operator_functions.ge,
}
_BY_INDEX: Final = (
    *(Operator.EQ, Operator.IN),
    *(Operator.LT, Operator.LE, Operator.GT, Operator.GE),
)
_REGISTRY: Final = (Dialect.REGISTERED_MODELS, Dialect.MODEL_VERSIONS)

Condition = sa.ColumnElement[bool]


def conditions(
    parsed: Filter,
    dialect: Dialect,
    database: Database,
    datasets: Sequence[DatasetRef] = (),
) -> tuple[list[Condition], dict[str, Any]]:
    """What must all hold for a row of the entity to match the filter.

    The second part is what to bind in the statement for the lists in the first.

    Of the two registries, rows that are prompts match only a filter that asks for them. With
    `datasets`, a logged model's metric counts only where it was measured on one of them, and a
    model without any such metric does not match.
    """
    builder = _Builder(dialect, database, datasets)
    comparisons = parsed.comparisons
    found: list[Condition] = []
    if dialect in _REGISTRY and not any(_asks_for_prompts(c) for c in comparisons):
        comparisons = tuple(c for c in comparisons if not _asks_for_models(c))
        found.append(_no_prompt(dialect))
    found += [builder.condition(c) for c in comparisons]
    if datasets and not any(c.kind is Kind.METRIC for c in comparisons):
        found.append(builder.measured_on_datasets())
    return found, builder.lists


class _Builder:
    def __init__(
        self, dialect: Dialect, database: Database, datasets: Sequence[DatasetRef]
    ) -> None:
        self._searchable = SEARCHABLE[dialect]
        self._database = database
        self._datasets = datasets
        self.lists: dict[str, Any] = {}

    def condition(self, c: Comparison) -> Condition:
        if c.kind is Kind.ATTRIBUTE:
            return self._compare(self._searchable.attributes[c.key], c)
        if c.kind is Kind.DATASET:
            return self._dataset(c)
        by_key = self._searchable.by_key[c.kind]
        wanted = [key_is(by_key, by_key.table, c.key)]
        if c.operator not in fields.NULL_OPERATORS:
            wanted.append(self._by_key_value(by_key, c))
            if c.kind is Kind.METRIC and self._datasets:
                wanted.append(_on_datasets(by_key.table, self._datasets))
        if by_key.indexed and c.operator in _BY_INDEX:
            (identity,), (owner,) = self._searchable.identity, by_key.owner
            return identity.in_(sa.select(by_key.table.c[owner]).where(*wanted))
        there = sa.exists().where(owned(self._searchable, by_key, by_key.table), *wanted)
        return ~there if c.operator is Operator.IS_NULL else there

    def measured_on_datasets(self) -> Condition:
        """At least one metric was measured on one of the data sets."""
        by_key = self._searchable.by_key[Kind.METRIC]
        there = owned(self._searchable, by_key, by_key.table)
        return sa.exists().where(there, _on_datasets(by_key.table, self._datasets))

    def _by_key_value(self, by_key: ByKey, c: Comparison) -> Condition:
        value = by_key.table.c.value
        if by_key.by_prefix and c.operator in _BY_INDEX:
            return self._by_prefix(value, c)
        return self._compare(value, c)

    def _by_prefix(self, column: sa.Column[Any], c: Comparison) -> Condition:
        """A comparison that an index over the first characters can answer, by itself if short."""
        # The index knows its expression by its text: no bound values in it.
        length: sa.ColumnElement[int] = sa.literal_column(str(t.PREFIX_LENGTH))
        prefix = sa.func.substr(column, sa.literal_column("1"), length, type_=sa.Text)
        values = c.value if isinstance(c.value, tuple) else (str(c.value),)
        if all(len(value) < t.PREFIX_LENGTH for value in values):
            return self._compare(prefix, c)
        starts = tuple({value[: t.PREFIX_LENGTH] for value in values})
        return sa.and_(self._one_of(prefix, starts), self._compare(column, c))

    def _compare(self, column: sa.ColumnElement[Any], c: Comparison) -> Condition:
        """A comparison of a column with the value, whatever its type."""
        if isinstance(c.value, tuple):
            is_one = self._one_of(column, c.value)
            return ~is_one if c.operator is Operator.NOT_IN else is_one
        if isinstance(column.type, t.MetricValue):
            return _compare_metric(column, c.operator, float(c.value or 0))
        if isinstance(column.type, sa.Integer):
            return _compare_integer(column, c.operator, c.value)
        text = str(c.value)
        if c.operator in (Operator.LIKE, Operator.ILIKE):
            ignore_case = c.operator is Operator.ILIKE
            return self._database.like(column, text, ignore_case=ignore_case)
        return _operate(column, c.operator, sa.literal(text, sa.Text))

    def _one_of(self, column: sa.ColumnElement[Any], values: tuple[str, ...]) -> Condition:
        """One bound value for the whole list: a database takes only so many."""
        as_stored = [int(v) for v in values] if isinstance(column.type, sa.Integer) else values
        name = f"list_{len(self.lists)}"
        self.lists[name] = self._database.list_value(as_stored)
        return self._database.any_of(column, name)

    def _dataset(self, c: Comparison) -> Condition:
        """A run took in a data set that fits; each term may mean another one."""
        used, sets, marks = t.dataset_inputs, t.datasets, t.dataset_input_tags
        query = sa.select(used.c.run).join_from(used, sets, sets.c.id == used.c.dataset)
        if c.key == "context":
            context = sa.and_(marks.c.input == used.c.id, marks.c.key == DATASET_CONTEXT_TAG)
            query = query.join(marks, context).where(self._compare(marks.c.value, c))
        else:
            query = query.where(self._compare(sets.c[c.key], c))
        return t.runs.c.id.in_(query)


def _compare_metric(column: sa.ColumnElement[Any], operator: Operator, value: float) -> Condition:
    compared = _operate(column, operator, sa.literal(value, t.MetricValue))
    if operator in (Operator.GT, Operator.GE):
        # NaN is stored as the largest value; the second bound also tells SQLite's planner that
        # this is a narrow range.
        return sa.and_(compared, column < sa.literal(math.nan, t.MetricValue))
    return compared


def _compare_integer(column: sa.ColumnElement[Any], operator: Operator, value: Any) -> Condition:
    """A whole number as it is; a fraction by the whole number that parts the same ones."""
    if isinstance(value, float):
        if operator is Operator.EQ:
            return sa.false()
        if operator is Operator.NE:
            return column.is_not(None)
        rounded_up = operator in (Operator.LT, Operator.GE)
        value = math.ceil(value) if rounded_up else math.floor(value)
    return _operate(column, operator, sa.literal(value, sa.BigInteger))


def _operate(
    column: sa.ColumnElement[Any], operator: Operator, value: sa.ColumnElement[Any]
) -> Condition:
    compared: Condition = _COMPARE[operator](column, value)
    return compared


def _on_datasets(table: sa.Table, datasets: Sequence[DatasetRef]) -> Condition:
    return sa.or_(*(on_dataset(table, name, digest) for name, digest in datasets))


def on_dataset(table: sa.FromClause, name: str | None, digest: str | None) -> Condition:
    """A point of a logged model's metric was measured on this data set."""
    same = table.c.dataset_name == sa.literal(name or "", sa.Text)
    if digest is None:
        return same
    return sa.and_(same, table.c.dataset_digest == sa.literal(digest, sa.Text))


def _asks_for_prompts(c: Comparison) -> bool:
    if c.kind is not Kind.TAG or c.key != PROMPT_TAG:
        return False
    value = str(c.value).lower()
    return (
        c.operator is Operator.IS_NOT_NULL
        or (c.operator is Operator.EQ and value == "true")
        or (c.operator is Operator.NE and value == "false")
    )


def _asks_for_models(c: Comparison) -> bool:
    """What MLflow's client adds to a search: true, too, of models that lack the tag."""
    if c.kind is not Kind.TAG or c.key != PROMPT_TAG:
        return False
    value = str(c.value).lower()
    return (
        c.operator is Operator.IS_NULL
        or (c.operator is Operator.EQ and value == "false")
        or (c.operator is Operator.NE and value == "true")
    )


def _no_prompt(dialect: Dialect) -> Condition:
    """Of a prompt, every version counts as one, whichever of them carry the tag."""
    searchable = SEARCHABLE[dialect]
    tags = searchable.by_key[Kind.TAG].table.alias("prompts")
    return ~sa.exists().where(
        tags.c.model == searchable.identity[0], tags.c.key == PROMPT_TAG, tags.c.value == "true"
    )
