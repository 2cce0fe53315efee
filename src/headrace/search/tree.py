"""What a filter and an order_by mean, after parsing: plain frozen values, no text, no SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """Where the left side of a comparison is kept."""

    ATTRIBUTE = "attribute"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    DATASET = "dataset"


class Operator(Enum):
    """How two sides are compared; the value is how it is written."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


Value = str | float | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One `key operator value`.

    `key` is the canonical name of an attribute or dataset field (that of the wire struct), or the
    key of a metric, parameter or tag as it was logged. `value` is a tuple for IN and NOT IN, None
    for IS NULL and IS NOT NULL, a float for metrics, and an int (a float where the text has a
    fraction) for integer attributes. `position` is where the comparison starts in the filter; two
    comparisons that differ only there are equal.
    """

    kind: Kind
    key: str
    operator: Operator
    value: Value
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Filter:
    """Comparisons that must all hold; none means that everything matches."""

    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One field to sort by. Rows that lack it come last, whichever the direction.

    For metrics of logged models, `dataset_name` and `dataset_digest` narrow it to what was
    measured on one data set; None stands for any.
    """

    kind: Kind
    key: str
    ascending: bool
    dataset_name: str | None = None
    dataset_digest: str | None = None
