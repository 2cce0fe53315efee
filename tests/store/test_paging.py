from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.search import Dialect, Filter, Kind, OrderTerm, parse_filter, parse_order_by
from headrace.search.parser import MAX_ORDER_TERMS
from headrace.store.sql.paging import MAX_TOKEN_LENGTH, Search
from tests.store.conftest import SearchedDatabase
from tests.store.searched import filters, orders

RUNS = Dialect.RUNS


@settings(max_examples=80)
@given(data=st.data(), dialect=st.sampled_from(Dialect), size=st.integers(1, 45))
def test_pages_of_any_size_are_the_one_big_page(
    searched: SearchedDatabase, data: st.DataObject, dialect: Dialect, size: int
) -> None:
    parsed: Filter = data.draw(st.one_of(st.just(Filter()), filters(dialect)))
    order = data.draw(orders(dialect))
    whole = searched.check(dialect, parsed, order)
    pages = searched.pages(Search(dialect, parsed, order), dialect, size)
    assert [row for page in pages for row in page] == whole
    assert all(len(page) == size for page in pages[:-1])
    assert len(pages[-1]) > 0 or whole == []


ORDER = parse_order_by(["metrics.a DESC", "params.a", "end_time DESC"], RUNS)


def second_page_token(searched: SearchedDatabase, search: Search) -> str:
    _, token = searched.page(search, RUNS, 5)
    assert token is not None
    return token


def test_a_token_is_short_and_safe_in_a_url(searched: SearchedDatabase) -> None:
    token = second_page_token(searched, Search(RUNS, Filter()))
    assert token.replace("-", "").replace("_", "").isalnum()
    assert len(token) < 150


def test_a_token_goes_with_any_page_size_and_an_equal_search(searched: SearchedDatabase) -> None:
    text = "metrics.a > -5"
    first = Search(RUNS, parse_filter(text, RUNS), ORDER, scope=("1", "active"))
    token = second_page_token(searched, first)
    again = Search(RUNS, parse_filter(f"  {text} ", RUNS), ORDER, scope=("1", "active"))
    assert searched.page(again, RUNS, 3, token)[0] == searched.page(first, RUNS, 20, token)[0][:3]


@pytest.mark.parametrize(
    "other",
    [
        Search(RUNS, parse_filter("params.a = 'b'", RUNS), ORDER, scope=("1",)),
        Search(RUNS, Filter(), ORDER[:2], scope=("1",)),
        Search(RUNS, Filter(), parse_order_by(["metrics.a", "params.a"], RUNS), scope=("1",)),
        Search(RUNS, Filter(), ORDER, scope=("2",)),
    ],
)
def test_a_token_of_another_search_is_refused(searched: SearchedDatabase, other: Search) -> None:
    token = second_page_token(searched, Search(RUNS, Filter(), ORDER, scope=("1",)))
    with pytest.raises(InvalidRequest, match="'page_token': it comes from a search with another"):
        other.statement(searched.database, [], [], 5, token)


def test_a_token_for_other_data_sets_is_refused(searched: SearchedDatabase) -> None:
    dialect = Dialect.LOGGED_MODELS
    _, token = searched.page(Search(dialect, Filter(), datasets=[("d", "1")]), dialect, 5)
    with pytest.raises(InvalidRequest, match="'page_token'"):
        searched.page(Search(dialect, Filter(), datasets=[("d", None)]), dialect, 5, token)


@pytest.mark.parametrize("name", ["\x00", "\ud800"])
def test_names_that_no_database_holds_are_refused(name: str) -> None:
    dialect = Dialect.LOGGED_MODELS
    with pytest.raises(InvalidRequest, match="data set"):
        Search(dialect, Filter(), datasets=[(name, None)])
    with pytest.raises(InvalidRequest, match="data set"):
        Search(dialect, Filter(), [OrderTerm(Kind.METRIC, "a", True, "d", name)])


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!",
        "é",
        "\x00",
        "\ud800",
        "AAAA",
        base64.b64encode(b'{"offset": 5}').decode(),
        _encode([]),
        _encode(5),
        _encode({"search": 5, "after": []}),
        _encode("[" * 20_000),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b'{"search":' + b"9" * 5000 + b"}").decode(),
        "A" * (MAX_TOKEN_LENGTH + 4),
    ],
)
def test_a_damaged_token_is_refused(searched: SearchedDatabase, token: str) -> None:
    with pytest.raises(InvalidRequest, match="'page_token'"):
        Search(RUNS, Filter()).statement(searched.database, [], [], 5, token)


# The sort values of ORDER: rank and value of a metric, of a parameter and of end_time, then
# start_time and run_id.
GOOD: list[Any] = [0, 1.0, 0, "a", 0, 5, 7, "a1"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, None),
        (0, "0"),
        (0, 0.0),
        (0, True),
        (0, 2**63),
        (1, "1.0"),
        (1, float("nan")),
        (3, 5),
        (3, "a\x00"),
        (3, "\ud800"),
        (5, "5"),
        (5, 2**63),
        (5, -(2**63) - 1),
        (6, None),
        (7, None),
        (7, ["a1"]),
        (7, {"a": 1}),
    ],
)
def test_a_changed_token_is_refused(searched: SearchedDatabase, place: int, value: object) -> None:
    search = Search(RUNS, Filter(), ORDER)
    token = second_page_token(searched, search)
    digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["search"]
    good = _encode({"search": digest, "after": GOOD})
    searched.page(search, RUNS, 5, good)
    changed = [*GOOD[:place], value, *GOOD[place + 1 :]]
    for after in (changed, GOOD[:-1], [*GOOD, 1], "x"):
        with pytest.raises(InvalidRequest, match="'page_token': it was changed"):
            searched.page(search, RUNS, 5, _encode({"search": digest, "after": after}))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e308, -0.0, None])
@pytest.mark.parametrize("rank", [0, 1, 2, 3, -1])
def test_any_well_typed_token_is_a_page(
    searched: SearchedDatabase, rank: int, value: float | None
) -> None:
    search = Search(RUNS, Filter(), ORDER)
    token = second_page_token(searched, search)
    digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["search"]
    after = [rank, value, rank, "'; --", rank, None, -(2**63), ""]
    searched.page(search, RUNS, 5, _encode({"search": digest, "after": after}))


def test_rows_that_come_and_go_meanwhile_neither_repeat_nor_hide_others(sqlite_uri: str) -> None:
    import sqlalchemy as sa

    from headrace.store.sql import tables as t
    from headrace.store.sql.database import database_url
    from headrace.store.sql.dialect import dialect_for
    from tests.store.searched import make_rows, store_rows

    url = database_url(sqlite_uri)
    database = dialect_for(url)
    with database.create_engine(url).connect() as connection:
        rows = make_rows()
        store_rows(connection, rows)
        searched = SearchedDatabase(connection, database, rows)
        search = Search(RUNS, Filter(), [OrderTerm(Kind.ATTRIBUTE, "run_id", True)])
        first, token = searched.page(search, RUNS, 10)
        whole = searched.page(search, RUNS, 1000)[0]
        gone = [*first[:3], whole[10]]
        connection.execute(sa.delete(t.runs).where(t.runs.c.id.in_(gone)))
        second, _ = searched.page(search, RUNS, 10, token)
        assert second == whole[11:21]


def test_too_many_order_terms_are_refused() -> None:
    terms = [OrderTerm(Kind.METRIC, f"m{i}", True) for i in range(MAX_ORDER_TERMS + 1)]
    with pytest.raises(InvalidRequest, match=f"at most {MAX_ORDER_TERMS}"):
        Search(Dialect.LOGGED_MODELS, Filter(), terms)
