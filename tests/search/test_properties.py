from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.errors import FilterSyntaxError
from headrace.search import Dialect, Filter, order_term, parse_filter, parse_order_by
from tests.search.render import filters, order_terms, render, render_order

dialects = st.sampled_from(Dialect)

# Pieces of the language, so that random texts get past the first token, and anything at all.
_PIECES = [
    *("metrics.", "params.a", "tags.`a b`", "`tags`", "attributes.", "datasets.name", "run_id"),
    *("name", "status", "start_time", "version", "experiment_id", "created", "`", '"', "'"),
    *("=", "!=", "<", ">=", "==", "<>", "LIKE", "ilike", "IN", "NOT", "IS", "NULL", "AND", "or"),
    *("(", ")", ",", ";", "'x'", '"y"', "''", "1", "-.5", "1e999", "9" * 30, "1.2.3", "٣", "²"),
    *(" ", "\n", "\t", "\x00", "\ud800", "\u2028", ".", "-", "--", "/*", "%"),
]
hostile = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(), max_size=30),
    st.lists(st.sampled_from(_PIECES), max_size=14).map("".join),
    st.lists(st.sampled_from(_PIECES), max_size=14).map(" ".join),
)


def _check_error(error: FilterSyntaxError, text: str) -> None:
    assert error.text in (text, "")
    assert 0 <= error.position <= len(text)
    assert error.http_status == 400
    msgspec.json.encode(error.message)  # a lone surrogate in it would be a 500


@given(hostile, dialects)
@example("metrics.a > ٣", Dialect.RUNS)
@example("params.a = '\ud800'", Dialect.RUNS)
@example("experiment_id = '٣'", Dialect.EXPERIMENTS)
def test_any_text_parses_or_fails_at_a_position_inside_it(text: str, dialect: Dialect) -> None:
    try:
        parsed = parse_filter(text, dialect)
    except FilterSyntaxError as error:
        _check_error(error, text)
    else:
        assert bool(parsed.comparisons) is not (not text or text.isspace())


@given(hostile, dialects)
def test_any_order_by_parses_or_fails_at_a_position_inside_it(text: str, dialect: Dialect) -> None:
    try:
        (term,) = parse_order_by([text], dialect)
    except FilterSyntaxError as error:
        _check_error(error, text)
    else:
        assert term.key


@given(hostile, dialects)
def test_any_field_name_is_known_or_fails_at_a_position_inside_it(
    text: str, dialect: Dialect
) -> None:
    try:
        assert order_term(text, True, dialect).key
    except FilterSyntaxError as error:
        _check_error(error, text)


@given(st.data(), dialects)
def test_a_rendered_filter_parses_back_to_itself(data: st.DataObject, dialect: Dialect) -> None:
    parsed: Filter = data.draw(filters(dialect))
    text = render(parsed)
    assert parse_filter(text, dialect) == parsed
    starts = [c.position for c in parse_filter(text, dialect).comparisons]
    assert starts == sorted(starts)
    assert all(text[start] in "amptd" for start in starts)


@given(st.data(), dialects)
def test_a_rendered_order_parses_back_to_itself(data: st.DataObject, dialect: Dialect) -> None:
    term = data.draw(order_terms(dialect))
    assert parse_order_by([render_order(term)], dialect) == (term,)


@given(st.data(), dialects)
def test_a_cut_filter_never_means_something_else(data: st.DataObject, dialect: Dialect) -> None:
    parsed: Filter = data.draw(filters(dialect))
    text = render(parsed)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        shorter = parse_filter(cut, dialect).comparisons
    except FilterSyntaxError as error:
        _check_error(error, cut)
    else:
        # Only a number can be cut and still be one.
        assert shorter[:-1] == parsed.comparisons[: max(0, len(shorter) - 1)]
