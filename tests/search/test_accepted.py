from __future__ import annotations

import pytest

from headrace.search import (
    Comparison,
    Dialect,
    Filter,
    Kind,
    Operator,
    OrderTerm,
    Value,
    order_term,
    parse_filter,
    parse_order_by,
)

RUNS = Dialect.RUNS
EXPERIMENTS = Dialect.EXPERIMENTS
MODELS = Dialect.REGISTERED_MODELS
VERSIONS = Dialect.MODEL_VERSIONS
LOGGED = Dialect.LOGGED_MODELS
A, M, P, T, D = Kind.ATTRIBUTE, Kind.METRIC, Kind.PARAM, Kind.TAG, Kind.DATASET

One = tuple[Kind, str, str, Value]

ACCEPTED: list[tuple[Dialect, str, list[One]]] = [
    # identifiers
    (RUNS, "metrics.acc > 0.5", [(M, "acc", ">", 0.5)]),
    (RUNS, "metric.acc>0.5", [(M, "acc", ">", 0.5)]),
    (RUNS, "params.lr = '0.1'", [(P, "lr", "=", "0.1")]),
    (RUNS, "param.lr = '0.1'", [(P, "lr", "=", "0.1")]),
    (RUNS, "parameters.lr='0.1'", [(P, "lr", "=", "0.1")]),
    (RUNS, 'parameter.lr = "0.1"', [(P, "lr", "=", "0.1")]),
    (RUNS, "tags.mlflow.user = 'ann'", [(T, "mlflow.user", "=", "ann")]),
    (RUNS, "tag.a != 'b'", [(T, "a", "!=", "b")]),
    (RUNS, "attributes.status = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "attribute.status = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "attr.status = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "run.status = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "status = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "`status` = 'FINISHED'", [(A, "status", "=", "FINISHED")]),
    (RUNS, "metrics.`val loss` < 1", [(M, "val loss", "<", 1.0)]),
    (RUNS, 'metrics."val loss" < 1', [(M, "val loss", "<", 1.0)]),
    (RUNS, "`metrics`.loss < 1", [(M, "loss", "<", 1.0)]),
    (RUNS, "`metrics`.`val loss` < 1", [(M, "val loss", "<", 1.0)]),
    (RUNS, "`metrics`.5 < 1", [(M, "5", "<", 1.0)]),
    (RUNS, "metrics.1 < 1", [(M, "1", "<", 1.0)]),
    (RUNS, "metrics.étape < 1", [(M, "étape", "<", 1.0)]),
    (RUNS, "`Run name` = 'a'", [(A, "run_name", "=", "a")]),
    (RUNS, "\"run name\" = 'a'", [(A, "run_name", "=", "a")]),
    (RUNS, "attributes.`Run Name` = 'a'", [(A, "run_name", "=", "a")]),
    (RUNS, "datasets.name LIKE 'x%'", [(D, "name", "LIKE", "x%")]),
    (RUNS, "dataset.digest IN ('1','2')", [(D, "digest", "IN", ("1", "2"))]),
    (RUNS, "dataset.context NOT IN ('train')", [(D, "context", "NOT IN", ("train",))]),
    # attributes of runs
    (RUNS, "created > 1", [(A, "start_time", ">", 1)]),
    (RUNS, "attribute.Created <= 1664067852747", [(A, "start_time", "<=", 1664067852747)]),
    (RUNS, "end_time != 5", [(A, "end_time", "!=", 5)]),
    (RUNS, "start_time >= 1664067852747.25", [(A, "start_time", ">=", 1664067852747.25)]),
    (RUNS, "start_time = 2.0", [(A, "start_time", "=", 2)]),
    (RUNS, "start_time < 9223372036854775807", [(A, "start_time", "<", 2**63 - 1)]),
    (RUNS, "start_time > -9223372036854775808", [(A, "start_time", ">", -(2**63))]),
    (RUNS, "start_time > " + "0" * 5000 + "7", [(A, "start_time", ">", 7)]),
    (RUNS, "run_id IN ('a', \"b\")", [(A, "run_id", "IN", ("a", "b"))]),
    (RUNS, "run_id in ('a',)", [(A, "run_id", "IN", ("a",))]),
    (RUNS, "run_id not\nin('a')", [(A, "run_id", "NOT IN", ("a",))]),
    # numbers and texts
    (RUNS, "metrics.a > -1", [(M, "a", ">", -1.0)]),
    (RUNS, "metrics.a>-1", [(M, "a", ">", -1.0)]),
    (RUNS, "metrics.a = +1e0", [(M, "a", "=", 1.0)]),
    (RUNS, "metrics.a = .5", [(M, "a", "=", 0.5)]),
    (RUNS, "metrics.a = 1.", [(M, "a", "=", 1.0)]),
    (RUNS, "metrics.a = 1.5E-3", [(M, "a", "=", 1.5e-3)]),
    (RUNS, "params.a = ''", [(P, "a", "=", "")]),
    (RUNS, "params.a = 'it''s'", [(P, "a", "=", "it''s")]),
    (RUNS, 'params.a = "it\'s"', [(P, "a", "=", "it's")]),
    (RUNS, "params.a = 'C:\\' AND params.b = 'AND'", [(P, "a", "=", "C:\\"), (P, "b", "=", "AND")]),
    (RUNS, "params.a = '\n;OR(`\t'", [(P, "a", "=", "\n;OR(`\t")]),
    (RUNS, "params.a IS NULL", [(P, "a", "IS NULL", None)]),
    (RUNS, "tags.a is  Not\tnull", [(T, "a", "IS NOT NULL", None)]),
    (RUNS, "tags.a iLike '%A_'", [(T, "a", "ILIKE", "%A_")]),
    (
        RUNS,
        "metrics.m > 1 and params.a='1' AnD tags.b LIKE 'c'",
        [(M, "m", ">", 1.0), (P, "a", "=", "1"), (T, "b", "LIKE", "c")],
    ),
    # experiments
    (EXPERIMENTS, "name LIKE 'flow%'", [(A, "name", "LIKE", "flow%")]),
    (EXPERIMENTS, "attribute.name = 'a'", [(A, "name", "=", "a")]),
    (EXPERIMENTS, "experiment_id = '007'", [(A, "experiment_id", "=", "7")]),
    (EXPERIMENTS, "experiment_id NOT IN ('1','2')", [(A, "experiment_id", "NOT IN", ("1", "2"))]),
    (EXPERIMENTS, "creation_time > 1", [(A, "creation_time", ">", 1)]),
    (EXPERIMENTS, "last_update_time <= 1", [(A, "last_update_time", "<=", 1)]),
    (EXPERIMENTS, "tag.k IS NULL", [(T, "k", "IS NULL", None)]),
    (EXPERIMENTS, "tags.k ILIKE 'x'", [(T, "k", "ILIKE", "x")]),
    # registry, with what the client of MLflow 3 adds to each search
    (
        MODELS,
        "name LIKE 'Reg%' AND tag.`mlflow.prompt.is_prompt` != 'true'",
        [(A, "name", "LIKE", "Reg%"), (T, "mlflow.prompt.is_prompt", "!=", "true")],
    ),
    (
        MODELS,
        "tag.`mlflow.prompt.is_prompt` != 'true'",
        [(T, "mlflow.prompt.is_prompt", "!=", "true")],
    ),
    (MODELS, "name='RegModel'", [(A, "name", "=", "RegModel")]),
    (MODELS, "name IN ('a', 'b')", [(A, "name", "IN", ("a", "b"))]),
    (VERSIONS, "name = 'a' and run_id != 'b'", [(A, "name", "=", "a"), (A, "run_id", "!=", "b")]),
    (VERSIONS, "version_number >= 2", [(A, "version", ">=", 2)]),
    (VERSIONS, "source_path LIKE 's3://%'", [(A, "source", "LIKE", "s3://%")]),
    (VERSIONS, "tags.stage = 'x'", [(T, "stage", "=", "x")]),
    # logged models
    (LOGGED, "name = 'model'", [(A, "name", "=", "model")]),
    (LOGGED, "attributes.name = 'model'", [(A, "name", "=", "model")]),
    (LOGGED, "model_id NOT IN ('m-1')", [(A, "model_id", "NOT IN", ("m-1",))]),
    (LOGGED, "creation_time > 1", [(A, "creation_timestamp_ms", ">", 1)]),
    (LOGGED, "creation_timestamp > 1", [(A, "creation_timestamp_ms", ">", 1)]),
    (LOGGED, "last_updated_timestamp > 1", [(A, "last_updated_timestamp_ms", ">", 1)]),
    (LOGGED, "status = 2", [(A, "status", "=", "LOGGED_MODEL_READY")]),
    (LOGGED, "metrics.acc > 0.5", [(M, "acc", ">", 0.5)]),
    (LOGGED, "params.lr = 0.01", [(P, "lr", "=", "0.01")]),
    (LOGGED, "tags.a IN ('x')", [(T, "a", "IN", ("x",))]),
]

# What MLflow refuses and costs nothing to understand.
BEYOND_MLFLOW: list[tuple[Dialect, str, list[One]]] = [
    (RUNS, "metrics.system/cpu_percent > 90", [(M, "system/cpu_percent", ">", 90.0)]),
    (RUNS, "params.a-b:c = 'x'", [(P, "a-b:c", "=", "x")]),
    (RUNS, "`metrics.val loss` < 1", [(M, "val loss", "<", 1.0)]),
    (RUNS, "status IN ('FINISHED', 'FAILED')", [(A, "status", "IN", ("FINISHED", "FAILED"))]),
    (
        RUNS,
        "params.a IN ('x') AND tags.b NOT IN ('y')",
        [(P, "a", "IN", ("x",)), (T, "b", "NOT IN", ("y",))],
    ),
    (EXPERIMENTS, "attributes.name = 'a'", [(A, "name", "=", "a")]),
    (EXPERIMENTS, "experiment_id = 7", [(A, "experiment_id", "=", "7")]),
    (MODELS, "creation_timestamp > 5", [(A, "creation_timestamp", ">", 5)]),
    (MODELS, "tags.a IS NULL", [(T, "a", "IS NULL", None)]),
    (VERSIONS, "version = 3", [(A, "version", "=", 3)]),
    (VERSIONS, "last_updated_timestamp > 5", [(A, "last_updated_timestamp", ">", 5)]),
    (LOGGED, "param.a = 'x'", [(P, "a", "=", "x")]),
    (LOGGED, 'name = "model"', [(A, "name", "=", "model")]),
    (LOGGED, "status = 'READY'", [(A, "status", "=", "LOGGED_MODEL_READY")]),
    (LOGGED, "status != 'logged_model_ready'", [(A, "status", "!=", "LOGGED_MODEL_READY")]),
    (
        LOGGED,
        "status IN ('PENDING', 'UPLOAD_FAILED')",
        [(A, "status", "IN", ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_UPLOAD_FAILED"))],
    ),
    (LOGGED, "params.a IS NOT NULL", [(P, "a", "IS NOT NULL", None)]),
]


@pytest.mark.parametrize(("dialect", "text", "expected"), ACCEPTED + BEYOND_MLFLOW)
def test_means(dialect: Dialect, text: str, expected: list[One]) -> None:
    meant = tuple(Comparison(kind, key, Operator(op), value) for kind, key, op, value in expected)
    parsed = parse_filter(text, dialect)
    assert parsed == Filter(meant)
    for found, wanted in zip(parsed.comparisons, meant, strict=True):
        assert type(found.value) is type(wanted.value)


@pytest.mark.parametrize("text", [None, "", " ", "\n\t "])
def test_nothing_means_everything(text: str | None) -> None:
    assert parse_filter(text, Dialect.RUNS) == Filter()


def test_a_comparison_knows_where_it_starts() -> None:
    parsed = parse_filter("  metrics.a > 1 AND  `tags`.b = 'c'", Dialect.RUNS)
    assert [c.position for c in parsed.comparisons] == [2, 21]


ORDERS: list[tuple[Dialect, str, OrderTerm]] = [
    (RUNS, "metrics.m DESC", OrderTerm(M, "m", False)),
    (RUNS, "metrics.m", OrderTerm(M, "m", True)),
    (RUNS, " metric.`val loss`  asc ", OrderTerm(M, "val loss", True)),
    (RUNS, 'metrics."val loss" desc', OrderTerm(M, "val loss", False)),
    (RUNS, "`metrics.val loss` desc", OrderTerm(M, "val loss", False)),
    (RUNS, "params.a DESC", OrderTerm(P, "a", False)),
    (RUNS, "tags.mlflow.user", OrderTerm(T, "mlflow.user", True)),
    (RUNS, "start_time DESC", OrderTerm(A, "start_time", False)),
    (RUNS, "attributes.Created DESC", OrderTerm(A, "start_time", False)),
    (RUNS, "attribute.run_name", OrderTerm(A, "run_name", True)),
    (EXPERIMENTS, "name ASC", OrderTerm(A, "name", True)),
    (EXPERIMENTS, "experiment_id", OrderTerm(A, "experiment_id", True)),
    (EXPERIMENTS, "last_update_time DESC", OrderTerm(A, "last_update_time", False)),
    (MODELS, "name ASC", OrderTerm(A, "name", True)),
    (MODELS, "timestamp DESC", OrderTerm(A, "last_updated_timestamp", False)),
    (MODELS, "last_updated_timestamp", OrderTerm(A, "last_updated_timestamp", True)),
    (MODELS, "creation_timestamp", OrderTerm(A, "creation_timestamp", True)),
    (VERSIONS, "version_number DESC", OrderTerm(A, "version", False)),
    (VERSIONS, "creation_timestamp", OrderTerm(A, "creation_timestamp", True)),
    (VERSIONS, "name", OrderTerm(A, "name", True)),
]


@pytest.mark.parametrize(("dialect", "item", "expected"), ORDERS)
def test_order_by(dialect: Dialect, item: str, expected: OrderTerm) -> None:
    assert parse_order_by([item], dialect) == (expected,)


def test_order_by_keeps_its_order() -> None:
    terms = parse_order_by(["metrics.b", "metrics.a DESC", "params.a"], Dialect.RUNS)
    assert [(t.kind, t.key) for t in terms] == [(M, "b"), (M, "a"), (P, "a")]
    assert parse_order_by([], Dialect.RUNS) == ()


@pytest.mark.parametrize(
    ("field_name", "expected"),
    [
        ("metrics.acc", OrderTerm(M, "acc", False)),
        ("metrics.val acc.x", OrderTerm(M, "val acc.x", False)),
        ("metrics.`val acc`", OrderTerm(M, "val acc", False)),
        ("creation_time", OrderTerm(A, "creation_timestamp_ms", False)),
        ("last_updated_timestamp", OrderTerm(A, "last_updated_timestamp_ms", False)),
        ("attributes.name", OrderTerm(A, "name", False)),
        (" name ", OrderTerm(A, "name", False)),
    ],
)
def test_order_structs(field_name: str, expected: OrderTerm) -> None:
    assert order_term(field_name, False, Dialect.LOGGED_MODELS) == expected
