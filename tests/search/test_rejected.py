from __future__ import annotations

import contextlib
import time

import pytest

from headrace.errors import FilterSyntaxError, InvalidRequest
from headrace.search import Dialect, order_term, parse_filter, parse_order_by
from headrace.search.lexer import MAX_TEXT_LENGTH
from headrace.search.parser import MAX_COMPARISONS, MAX_LIST_LENGTH, MAX_ORDER_TERMS
from headrace.search.values import MAX_PATTERN_LENGTH

RUNS = Dialect.RUNS
EXPERIMENTS = Dialect.EXPERIMENTS
MODELS = Dialect.REGISTERED_MODELS
VERSIONS = Dialect.MODEL_VERSIONS
LOGGED = Dialect.LOGGED_MODELS

# Dialect, text, what the error points at, what it says.
REJECTED: list[tuple[Dialect, str, str, str]] = [
    # what the language does not have
    (RUNS, "metrics.a > 1 OR metrics.b > 1", "OR", "AND only"),
    (RUNS, "metrics.a > 1 or metrics.b > 1", "or", "AND only"),
    (RUNS, "NOT metrics.a > 1", "NOT", "'!='"),
    (RUNS, "metrics.a > 1 AND NOT metrics.b > 1", "NOT metrics.b", "'!='"),
    (RUNS, "(metrics.a > 1)", "(", "cannot be grouped"),
    (RUNS, "metrics.a > 1 AND (metrics.b > 1)", "(", "cannot be grouped"),
    (RUNS, "metrics.a > 1)", ")", "cannot be grouped"),
    (RUNS, "metrics.a BETWEEN 1 AND 2", "BETWEEN", ">= and <="),
    (RUNS, "metrics.a > 1;", ";", "semicolon"),
    (RUNS, "metrics.a > 1; DROP TABLE runs", ";", "semicolon"),
    (RUNS, "metrics.a <> 1", "<>", "'!='"),
    (RUNS, "metrics.a == 1", "==", "one '='"),
    (RUNS, "metrics.a => 1", "=>", "'>='"),
    (RUNS, "tags.a RLIKE 'x'", "RLIKE", "ILIKE"),
    (RUNS, "metrics.a > 1 && metrics.b > 1", "&&", "AND"),
    (RUNS, "metrics.a > 1 || metrics.b > 1", "||", "OR is not supported"),
    (RUNS, "params.a = 'x' -- comment", "--", "Unexpected character '-'"),
    # order and completeness
    (RUNS, "metrics.a > 1 metrics.b > 1", "metrics.b", "Expected AND or the end of the filter"),
    (RUNS, "metrics.a > 1 AND", "", "found the end of the filter"),
    (RUNS, "AND metrics.a > 1", "AND", "Expected the name of a field"),
    (RUNS, "metrics.a", "", "Expected an operator"),
    (RUNS, "metrics.a >", "", "found the end of the filter"),
    (RUNS, "metrics. > 1", "> 1", "right after 'metrics.'"),
    (RUNS, "metrics.`` > 1", "``", "right after 'metrics.'"),
    (RUNS, "metrics. `a` > 1", "`a`", "right after 'metrics.'"),
    (RUNS, "1 < metrics.a", "1", "Expected the name of a field"),
    (RUNS, "'status' = 'x'", "'status'", "Expected the name of a field"),
    (RUNS, "metrics.a 1", "1", "Expected an operator"),
    (RUNS, "tags.a IS 'x'", "'x'", "IS NULL or IS NOT NULL"),
    (RUNS, "run_id NOT LIKE 'x'", "LIKE", "NOT IN"),
    # names
    (RUNS, "start_tme > 1", "start_tme", "Did you mean 'start_time'?"),
    (RUNS, "attributes.start_tme > 1", "start_tme", "Did you mean 'start_time'?"),
    (RUNS, "accuracy > 0.5", "accuracy", "metrics.accuracy"),
    (RUNS, "lifecycle_stage = 'active'", "lifecycle_stage", "Valid: run_id, run_name"),
    (RUNS, "experiment_id = '1'", "experiment_id", "Valid: run_id"),
    (RUNS, "metircs.a > 1", "metircs", "Did you mean 'metrics'?"),
    (RUNS, "Metrics.a > 1", "Metrics", "Did you mean 'metrics'?"),
    (RUNS, "datasets.nme = 'x'", "nme", "Did you mean 'name'?"),
    (RUNS, "mlflow.user = 'x'", "mlflow.user", "Expected one of metrics, params, tags"),
    (EXPERIMENTS, "metrics.a > 1", "metrics.a", "experiments knows no prefix 'metrics'"),
    (EXPERIMENTS, "run.name = 'x'", "run.name", "no prefix 'run'"),
    (MODELS, "current_stage = 'x'", "current_stage", "Valid: name"),
    (VERSIONS, "current_stage = 'x'", "current_stage", "Valid: name, run_id, source, version"),
    (VERSIONS, "params.a = 'x'", "params.a", "no prefix 'params'"),
    (LOGGED, "datasets.name = 'x'", "datasets.name", "no prefix 'datasets'"),
    # operators
    (RUNS, "metrics.a LIKE 'x'", "LIKE", "'metrics.a' cannot be compared with LIKE; use one of ="),
    (RUNS, "metrics.a IS NULL", "IS NULL", "'metrics.a' cannot be compared with IS NULL"),
    (RUNS, "params.a > 'x'", "> 'x'", "'params.a' cannot be compared with >"),
    (RUNS, "start_time LIKE '1%'", "LIKE", "'start_time' cannot be compared with LIKE"),
    (RUNS, "start_time IN (1)", "IN", "'start_time' cannot be compared with IN"),
    (RUNS, "end_time IS NULL", "IS NULL", "'end_time' cannot be compared with IS NULL"),
    (RUNS, "status IS NULL", "IS NULL", "'status' cannot be compared with IS NULL"),
    (RUNS, "run_id < 'x'", "<", "'run_id' cannot be compared with <"),
    (EXPERIMENTS, "experiment_id LIKE '1'", "LIKE", "use one of =, !=, IN, NOT IN"),
    (LOGGED, "status > 1", ">", "use one of =, !=, IN, NOT IN"),
    # values
    (RUNS, "metrics.a > '1'", "'1'", "'metrics.a' is compared with a number without quotes"),
    (RUNS, "metrics.a > metrics.b", "metrics.b", "a number without quotes"),
    (RUNS, "metrics.a > nan", "nan", "a number without quotes"),
    (RUNS, "params.a = 5", "5", "'params.a' is compared with a text in quotes"),
    (RUNS, "params.a = x", "x", "a text in quotes"),
    (RUNS, "params.a = `x`", "`x`", "a text in quotes"),
    (RUNS, "start_time > '1'", "'1'", "'start_time' is compared with a number"),
    (RUNS, "run_id IN 'a'", "'a'", "Expected a list"),
    (RUNS, "run_id IN ()", "()", "The list is empty"),
    (RUNS, "run_id IN (1)", "1)", "a text in quotes"),
    (RUNS, "run_id IN ('a' 'b')", "'b'", "Expected ',' or ')'"),
    (RUNS, "run_id IN ('a',,'b')", ",'b'", "a text in quotes"),
    (RUNS, "run_id IN ('a'", "", "Expected ',' or ')'"),
    (RUNS, "run_id IN (('a'))", "('a'))", "a text in quotes"),
    (RUNS, "run_id = ('a')", "('a')", "a text in quotes"),
    (EXPERIMENTS, "experiment_id = 'x'", "'x'", "a decimal id"),
    (EXPERIMENTS, "experiment_id = '-1'", "'-1'", "a decimal id"),
    (EXPERIMENTS, "experiment_id = '٣'", "'٣'", "a decimal id"),
    (EXPERIMENTS, "experiment_id = '9223372036854775808'", "'9223372036854775808'", "decimal id"),
    (EXPERIMENTS, "experiment_id IN ('1', 'x')", "'x'", "a decimal id"),
    (LOGGED, "status = 'REDY'", "'REDY'", "'PENDING', 'READY', 'UPLOAD_FAILED'"),
    (LOGGED, "status = 4", "4", "or 1, 2, 3"),
    (LOGGED, "metrics.a > '1'", "'1'", "a number without quotes"),
    # characters
    (RUNS, "params.a = 'x", "'x", "single quote is never closed"),
    (RUNS, "params.a = 'it''", "'it''", "single quote is never closed"),
    (RUNS, 'params.a = "x', '"x', "double quote is never closed"),
    (RUNS, "params.`a = 'x'", "`a", "backtick is never closed"),
    (RUNS, "params.a = 'x\x00y'", "\x00", "NUL"),
    (RUNS, "params.\x00 = 'x'", "\x00", "NUL"),
    (RUNS, "params.a = '\ud800'", "\ud800", "surrogate"),
    (RUNS, "metrics.a > ٣", "٣", "Unexpected character"),
    (RUNS, "metrics.a > \x01", "\x01", "U+0001"),
    (RUNS, "metrics.a$b > 1", "$", "backticks"),
    # numbers
    (RUNS, "metrics.a > 1e999", "1e999", "too large for a 64-bit float"),
    (RUNS, "metrics.a > -1e999", "-1e999", "too large for a 64-bit float"),
    (RUNS, "metrics.a > " + "9" * 400, "9", "too large for a 64-bit float"),
    (RUNS, "start_time > 9223372036854775808", "9223372036854775808", "out of range"),
    (RUNS, "start_time > -9223372036854775809", "-9223372036854775809", "out of range"),
    (RUNS, "start_time > " + "9" * 5000, "9", "out of range"),
    (RUNS, "start_time > 1e999", "1e999", "out of range"),
    (RUNS, "start_time > 9.3e18", "9.3e18", "out of range"),
    (RUNS, "start_time < 9223372036854775807.5", "9223372036854775807.5", "out of range"),
    (RUNS, "metrics.a > 1.2.3", "1.2.3", "neither a number"),
    (RUNS, "metrics.a > 0x1F", "0x1F", "neither a number"),
    (RUNS, "metrics.a > 1e", "1e", "neither a number"),
    (RUNS, "metrics.a > 1_000", "1_000", "neither a number"),
]


@pytest.mark.parametrize(("dialect", "text", "at", "says"), REJECTED)
def test_points_at_what_is_wrong(dialect: Dialect, text: str, at: str, says: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text, dialect)
    assert says in caught.value.message
    found = text[caught.value.position :]
    assert found.startswith(at) if at else found == ""


def test_the_message_shows_the_line_and_an_arrow_under_the_character() -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter("metrics.a > 1\n  OR metrics.b > 2\n", RUNS)
    assert caught.value.message.splitlines()[-2:] == ["    OR metrics.b > 2", "    ^"]


def test_a_long_line_is_shown_around_the_character() -> None:
    text = "params.a = 'x' AND " * 30 + "metrics.b == 1 AND " + "params.a = 'x' AND " * 30
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text, RUNS)
    _, line, arrow = caught.value.message.splitlines()
    assert len(line) < 250
    assert line[arrow.index("^") :].startswith("== 1")


ORDERS_REJECTED: list[tuple[Dialect, str, str, str]] = [
    (RUNS, "", "", "Expected the name of a field"),
    (RUNS, "metrics.a up", "up", "Expected ASC, DESC"),
    (RUNS, "metrics.a b DESC", "b DESC", "backticks"),
    (RUNS, "metrics.a DESC, metrics.b", ",", "one field"),
    (RUNS, "metrics.a ASC DESC", "DESC", "Expected ASC, DESC or the end"),
    (RUNS, "metrics.a > 1", "> 1", "Expected ASC, DESC"),
    (RUNS, "DESC", "DESC", "no attribute 'DESC' to sort by"),
    (RUNS, "datasets.name", "name", "cannot be sorted by a dataset"),
    (RUNS, "lifecycle_stage", "lifecycle_stage", "Valid: run_id"),
    (EXPERIMENTS, "tags.a", "a", "cannot be sorted by a tag"),
    (EXPERIMENTS, "creation_tme", "creation_tme", "Did you mean 'creation_time'?"),
    (MODELS, "tags.a", "a", "cannot be sorted by a tag"),
    (VERSIONS, "run_id", "run_id", "to sort by. Valid: name, version"),
]


@pytest.mark.parametrize(("dialect", "item", "at", "says"), ORDERS_REJECTED)
def test_order_by_points_at_what_is_wrong(dialect: Dialect, item: str, at: str, says: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_order_by(["name" if dialect is EXPERIMENTS else "metrics.z", item][-1:], dialect)
    assert says in caught.value.message
    assert item[caught.value.position :].startswith(at)


@pytest.mark.parametrize(
    "items",
    [
        ["metrics.a", "metrics.a DESC"],
        ["start_time", "params.a", "attributes.Created DESC"],
        ["metrics.`a`", " metric.a"],
    ],
)
def test_a_field_is_sorted_by_once(items: list[str]) -> None:
    with pytest.raises(FilterSyntaxError, match="twice") as caught:
        parse_order_by(items, RUNS)
    assert caught.value.text == items[-1]


@pytest.mark.parametrize(
    ("field_name", "says"),
    [
        ("params.a", "cannot be sorted by a param"),
        ("foo.a", "no prefix 'foo'"),
        ("nme", "Did you mean 'name'?"),
        ("metrics.", "Expected the name of the metric"),
        ("", "Expected the name of the attribute"),
        ("metrics.\x00", "NUL"),
        ("\ud800", "surrogate"),
    ],
)
def test_order_structs_are_checked(field_name: str, says: str) -> None:
    with pytest.raises(FilterSyntaxError, match=says):
        order_term(field_name, True, LOGGED)


class TestBounds:
    def test_comparisons(self) -> None:
        at_most = " AND ".join(["metrics.a > 1"] * MAX_COMPARISONS)
        assert len(parse_filter(at_most, RUNS).comparisons) == MAX_COMPARISONS
        with pytest.raises(FilterSyntaxError, match=f"at most {MAX_COMPARISONS} comparisons"):
            parse_filter(at_most + " AND metrics.a > 1", RUNS)

    def test_list(self) -> None:
        ids = ["'0123456789abcdef0123456789abcdef'"] * MAX_LIST_LENGTH
        (found,) = parse_filter(f"run_id IN ({','.join(ids)})", RUNS).comparisons
        assert isinstance(found.value, tuple)
        assert len(found.value) == MAX_LIST_LENGTH
        with pytest.raises(FilterSyntaxError, match=f"at most {MAX_LIST_LENGTH} values"):
            parse_filter(f"run_id IN ({','.join(ids)},'')", RUNS)

    def test_length(self) -> None:
        start = "params.a = "
        at_most = start + "'" + "x" * (MAX_TEXT_LENGTH - len(start) - 2) + "'"
        assert parse_filter(at_most, RUNS).comparisons
        with pytest.raises(FilterSyntaxError, match="at most 200000 are allowed") as caught:
            parse_filter(at_most + " ", RUNS)
        assert len(caught.value.message) < 200
        with pytest.raises(FilterSyntaxError, match="at most 200000 are allowed"):
            parse_order_by([at_most + " "], RUNS)

    def test_pattern(self) -> None:
        assert parse_filter(f"params.a LIKE '{'%' * MAX_PATTERN_LENGTH}'", RUNS).comparisons
        with pytest.raises(FilterSyntaxError, match=f"at most {MAX_PATTERN_LENGTH}"):
            parse_filter(f"params.a ILIKE '{'%' * (MAX_PATTERN_LENGTH + 1)}'", RUNS)

    def test_order_terms(self) -> None:
        items = [f"metrics.m{i}" for i in range(MAX_ORDER_TERMS)]
        assert len(parse_order_by(items, RUNS)) == MAX_ORDER_TERMS
        with pytest.raises(InvalidRequest, match=f"at most {MAX_ORDER_TERMS}"):
            parse_order_by([*items, "start_time"], RUNS)


@pytest.mark.parametrize(
    "unit",
    [
        "'",
        "''",
        '"',
        "`",
        "(",
        "a",
        "a.",
        "1",
        "1.",
        "-",
        "=",
        "metrics.a>1 AND ",
        " ",
        "'x',",
        "run_id IN ('",
        "\n",
        "e",
        "1e",
        "%",
        "`a`.",
        "metrics.`",
        "NOT ",
        "IS NOT ",
    ],
)
def test_hostile_text_is_refused_quickly(unit: str) -> None:
    text = (unit * MAX_TEXT_LENGTH)[:MAX_TEXT_LENGTH]
    for prefix in ("", "params.a = ", "metrics.a > ", "run_id IN ("):
        started = time.process_time()
        with contextlib.suppress(FilterSyntaxError):  # a long name or text may be right
            parse_filter((prefix + text)[:MAX_TEXT_LENGTH], RUNS)
        assert time.process_time() - started < 2  # quadratic would be minutes
