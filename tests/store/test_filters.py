from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.search import Dialect, Filter, Kind, OrderTerm, parse_filter, parse_order_by
from headrace.search.parser import MAX_COMPARISONS, MAX_LIST_LENGTH
from tests.store.conftest import SearchedDatabase
from tests.store.searched import KEYS, filters, orders

RUNS = Dialect.RUNS


@settings(max_examples=150)
@given(data=st.data(), dialect=st.sampled_from(Dialect))
def test_sql_finds_what_plain_python_finds(
    searched: SearchedDatabase, data: st.DataObject, dialect: Dialect
) -> None:
    parsed: Filter = data.draw(filters(dialect))
    searched.check(dialect, parsed, data.draw(orders(dialect)))


@settings(max_examples=40)
@given(data=st.data())
def test_data_sets_narrow_the_metrics_of_logged_models(
    searched: SearchedDatabase, data: st.DataObject
) -> None:
    dialect = Dialect.LOGGED_MODELS
    datasets = data.draw(
        st.lists(st.sampled_from([("d", None), ("d", "1"), ("e", "1"), ("f", None)]), max_size=2)
    )
    searched.check(dialect, data.draw(filters(dialect)), data.draw(orders(dialect)), datasets)


def find(searched: SearchedDatabase, dialect: Dialect, text: str) -> list[int]:
    """What a filter finds, which the plain search must find too; something, and not all."""
    found = searched.check(dialect, parse_filter(text, dialect), [])
    assert 0 < len(found) < len(searched.rows[dialect]), "the example shows nothing"
    return found


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a > 0",
        "metrics.a >= 1e308",
        "metrics.a < 1",
        "metrics.a <= -1.5",
        "metrics.a = 0",
        "metrics.a != 0",
        "metrics.`b c` > 0 AND metrics.a < 1e308",
        "params.a = 'adam'",
        "params.a != 'adam'",
        "params.a LIKE 'a%'",
        "params.a ILIKE 'a%'",
        "params.a LIKE '%*%'",
        "params.a LIKE '[%'",
        "params.a LIKE '%\\%'",
        "params.a IN ('a', 'A', 'nobody')",
        "params.a NOT IN ('a', 'A')",
        "params.a IS NULL",
        "params.a IS NOT NULL",
        "tags.`x/y.z` = '日本'",
        f"params.a = '{'x' * 128}'",
        f"params.a IN ('{'x' * 128}', '{'x' * 129}', 'a')",
        f"params.a LIKE '{'x' * 128}_'",
        "status = 'FINISHED'",
        "status != 'FINISHED'",
        "status IN ('FAILED', 'RUNNING')",
        "run_name LIKE 'A%'",
        "end_time > 0.5",
        "end_time >= -0.5",
        "end_time != 0.5",
        "end_time < 9223372036854775807",
        "start_time = 1700000000000",
        "artifact_uri LIKE 's3://a%'",
        "datasets.name = 'd'",
        "datasets.name != 'd'",
        "datasets.digest IN ('1')",
        "datasets.context = 'train'",
        "datasets.context ILIKE 'eval'",
        "datasets.name = 'd' AND datasets.name = 'e'",
    ],
)
def test_runs(searched: SearchedDatabase, text: str) -> None:
    find(searched, RUNS, text)


@pytest.mark.parametrize("text", ["start_time = 0.5", "metrics.nobody > 0", "params.nobody = 'x'"])
def test_what_nothing_can_equal(searched: SearchedDatabase, text: str) -> None:
    assert searched.check(RUNS, parse_filter(text, RUNS), []) == []


def test_nan_is_only_unequal(searched: SearchedDatabase) -> None:
    with_nan = {
        row.id
        for row in searched.rows[RUNS]
        if any(math.isnan(p.value) for p in row.metrics.get("a", []))
    }
    assert with_nan <= set(find(searched, RUNS, "metrics.a != 0"))
    for operator in ("<", "<=", ">", ">=", "="):
        assert not with_nan & set(find(searched, RUNS, f"metrics.a {operator} 0"))


def test_infinity_is_above_all_numbers(searched: SearchedDatabase) -> None:
    infinite = {
        row.id
        for row in searched.rows[RUNS]
        if any(p.value == math.inf for p in row.metrics.get("a", []))
    }
    assert infinite == set(find(searched, RUNS, "metrics.a > 1.7976931348623157e308"))


def test_unequal_asks_for_the_key(searched: SearchedDatabase) -> None:
    without = {row.id for row in searched.rows[RUNS] if "a" not in row.params}
    assert without
    assert not without & set(find(searched, RUNS, "params.a != 'adam'"))
    assert not without & set(find(searched, RUNS, "params.a NOT IN ('adam')"))
    assert without == set(find(searched, RUNS, "params.a IS NULL"))


@pytest.mark.parametrize("dialect", [Dialect.REGISTERED_MODELS, Dialect.MODEL_VERSIONS])
class TestPrompts:
    TAG = "tag.`mlflow.prompt.is_prompt`"

    def test_are_left_out_unless_asked_for(
        self, searched: SearchedDatabase, dialect: Dialect
    ) -> None:
        silent = searched.check(dialect, Filter(), [])
        appended = find(searched, dialect, f"{self.TAG} != 'true'")
        assert silent == appended == find(searched, dialect, f"{self.TAG} = 'false'")
        rows = {row.id: row for row in searched.rows[dialect]}
        assert any("mlflow.prompt.is_prompt" not in rows[found].tags for found in appended)

    def test_are_found_when_asked_for(self, searched: SearchedDatabase, dialect: Dialect) -> None:
        prompts = find(searched, dialect, f"{self.TAG} = 'true'")
        assert prompts == find(searched, dialect, f"{self.TAG} != 'false'")
        assert not set(prompts) & set(searched.check(dialect, Filter(), []))

    def test_a_filter_narrows_further(self, searched: SearchedDatabase, dialect: Dialect) -> None:
        some = find(searched, dialect, f"name LIKE 'model 1%' AND {self.TAG} != 'true'")
        assert set(some) < set(find(searched, dialect, f"{self.TAG} != 'true'"))


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (Dialect.EXPERIMENTS, "experiment_id IN ('1', '2')"),
        (Dialect.EXPERIMENTS, "experiment_id NOT IN ('1', '2')"),
        (Dialect.EXPERIMENTS, "experiment_id != '7'"),
        (Dialect.EXPERIMENTS, "name ILIKE 'a%'"),
        (Dialect.EXPERIMENTS, "tags.a != 'a'"),
        (Dialect.EXPERIMENTS, "creation_time >= 1700000000000"),
        (Dialect.MODEL_VERSIONS, "name IN ('model 3', 'model 4', 'model 5', 'model 6')"),
        (Dialect.MODEL_VERSIONS, "version_number > 1"),
        (Dialect.MODEL_VERSIONS, "run_id = 'r1' AND tags.a IS NOT NULL"),
        (Dialect.MODEL_VERSIONS, "tags.a IS NULL"),
        (Dialect.LOGGED_MODELS, "status = 'READY'"),
        (Dialect.LOGGED_MODELS, "status NOT IN ('READY', 'PENDING')"),
        (Dialect.LOGGED_MODELS, "model_type != 'a'"),
        (Dialect.LOGGED_MODELS, "metrics.a > 0 AND metrics.a < 0"),
    ],
)
def test_others(searched: SearchedDatabase, dialect: Dialect, text: str) -> None:
    find(searched, dialect, text)


def test_the_largest_filter_is_a_statement_that_a_database_takes(
    searched: SearchedDatabase,
) -> None:
    terms = [f"metrics.k{i} > {i} AND params.k{i} != 'x'" for i in range(MAX_COMPARISONS // 2)]
    order = parse_order_by([f"metrics.o{i}" for i in range(16)], RUNS)
    assert searched.check(RUNS, parse_filter(" AND ".join(terms), RUNS), list(order)) == []
    lists = " AND ".join(
        f"params.a IN ({','.join(['chr'] * 0 + [repr(str(j)) for j in range(MAX_LIST_LENGTH)])})"
        for _ in range(4)
    )
    searched.check(RUNS, parse_filter(lists, RUNS), [])


@pytest.mark.parametrize("text", ["9223372036854775807", "-9223372036854775808", "1.5e18", "-0.0"])
@pytest.mark.parametrize("operator", ["=", "!=", "<", ">="])
def test_large_numbers_fit_every_column(
    searched: SearchedDatabase, operator: str, text: str
) -> None:
    for dialect, name in [
        (RUNS, "end_time"),
        (RUNS, "metrics.a"),
        (Dialect.MODEL_VERSIONS, "version_number"),
        (Dialect.EXPERIMENTS, "creation_time"),
    ]:
        searched.check(dialect, parse_filter(f"{name} {operator} {text}", dialect), [])


@pytest.mark.parametrize("ascending", [True, False])
def test_metrics_sort_values_then_nan_then_none(
    searched: SearchedDatabase, ascending: bool
) -> None:
    found = searched.check(RUNS, Filter(), [OrderTerm(Kind.METRIC, "a", ascending)])
    rows = {row.id: row for row in searched.rows[RUNS]}
    values = [
        rows[run].metrics["a"][0].value if "a" in rows[run].metrics else None for run in found
    ]
    kinds = [2 if v is None else 1 if math.isnan(v) else 0 for v in values]
    assert kinds == sorted(kinds)
    assert set(kinds) == {0, 1, 2}
    numbers = [v for v in values if v is not None and not math.isnan(v)]
    assert numbers == sorted(numbers, reverse=not ascending)
    assert "a" in KEYS
