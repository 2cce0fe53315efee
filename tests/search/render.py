"""Filters and order_by items back to text, and Hypothesis strategies that make them."""

from __future__ import annotations

from hypothesis import strategies as st

from headrace.search import Comparison, Dialect, Filter, Kind, Operator, OrderTerm
from headrace.search.fields import FIELDS, MODEL_STATUSES, Field, ValueType

_PREFIX = {
    Kind.ATTRIBUTE: "attributes",
    Kind.METRIC: "metrics",
    Kind.PARAM: "params",
    Kind.TAG: "tags",
    Kind.DATASET: "datasets",
}

# Everything a key may hold (see headrace.protocol.names), spaces and slashes included.
keys = st.text(st.sampled_from("aZ9_-./: é"), min_size=1, max_size=12)


def _quotable(text: str) -> bool:
    """There is no escaping: a text that holds both kinds of quotes cannot be written."""
    return "'" not in text or '"' not in text


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
).filter(_quotable)


def render(parsed: Filter) -> str:
    """A text that parses to `parsed`."""
    return " AND ".join(_render_comparison(c) for c in parsed.comparisons)


def render_order(term: OrderTerm) -> str:
    """An order_by item that parses to `term`."""
    return f"{_render_name(term.kind, term.key)} {'ASC' if term.ascending else 'DESC'}"


def _render_name(kind: Kind, key: str) -> str:
    return f"{_PREFIX[kind]}.`{key}`"


def _render_comparison(c: Comparison) -> str:
    value = c.value
    if value is None:
        right = ""
    elif isinstance(value, tuple):
        right = "(" + ", ".join(_quote(item) for item in value) + ")"
    elif isinstance(value, str):
        right = _quote(value)
    else:
        right = repr(value)
    return f"{_render_name(c.kind, c.key)} {c.operator.value} {right}"


def _quote(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _values(field: Field, operator: Operator) -> st.SearchStrategy[object]:
    single: st.SearchStrategy[str]
    if operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        return st.none()
    if field.value_type is ValueType.NUMBER:
        return st.floats(allow_nan=False, allow_infinity=False)
    if field.value_type is ValueType.INTEGER:
        return st.integers(-(2**63), 2**63 - 1)
    if field.value_type is ValueType.ID:
        single = st.integers(0, 2**63 - 1).map(str)
    elif field.value_type is ValueType.MODEL_STATUS:
        single = st.sampled_from(MODEL_STATUSES)
    else:
        single = texts
    if operator in (Operator.IN, Operator.NOT_IN):
        return st.lists(single, min_size=1, max_size=4).map(tuple)
    return single


@st.composite
def comparisons(draw: st.DrawFn, dialect: Dialect) -> Comparison:
    """Any comparison that the dialect allows."""
    kind = draw(st.sampled_from(sorted(FIELDS[dialect], key=lambda k: k.value)))
    field = draw(st.sampled_from(FIELDS[dialect][kind]))
    operator = draw(st.sampled_from(field.operators))
    key = field.name or draw(keys)
    value = draw(_values(field, operator))
    assert value is None or isinstance(value, str | int | float | tuple)
    return Comparison(kind, key, operator, value)


@st.composite
def order_terms(draw: st.DrawFn, dialect: Dialect) -> OrderTerm:
    """Any order term that the dialect allows."""
    rows = [(kind, row) for kind, rows in FIELDS[dialect].items() for row in rows if row.orderable]
    kind, field = draw(st.sampled_from(rows))
    return OrderTerm(kind, field.name or draw(keys), draw(st.booleans()))


def filters(dialect: Dialect) -> st.SearchStrategy[Filter]:
    """Any filter of up to five comparisons."""
    return st.lists(comparisons(dialect), max_size=5).map(lambda found: Filter(tuple(found)))
