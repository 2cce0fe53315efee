"""A small database with awkward values, the same as plain Python, and a search of the latter."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st

from headrace.search import Comparison, Dialect, Filter, Kind, Operator, OrderTerm
from headrace.search.fields import FIELDS, MODEL_STATUSES, Field, ValueType
from headrace.store.sql import tables as t
from headrace.store.sql.filters import DATASET_CONTEXT_TAG, PROMPT_TAG, DatasetRef

TEXTS = (
    *("", "a", "A", "adam", "Adam", "a%", "a_b", "a*b", "[a]", "a?", "it's", 'say "x"', "\\"),
    *("a\\b", "é", "日本", "1", "10", "9", "NaN", "null", " ", "true", "false"),
    *("x" * 127, "x" * 128, "x" * 129, "x" * 128 + "y", "x" * 300),
)
PATTERNS = (*TEXTS, "%", "a%", "%a", "_", "__%", "%a_b%", "A%", "%*%", "[%", "x%y", "%\\%", "%_")
NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.5, 1e308, 5e-324, 0.1, 2.0**53)
TIMES = (0, 1, 2, 1_700_000_000_000, 2**40, -1, 2**63 - 1, -(2**63))
KEYS = ("a", "b c", "A", "x/y.z")
STATUSES = ("RUNNING", "FINISHED", "FAILED")


@dataclass(frozen=True)
class Point:
    value: float
    timestamp: int = 0
    step: int = 0
    run_id: str = ""
    dataset: tuple[str, str] = ("", "")


@dataclass
class Row:
    """What a search sees of one run, experiment, model …"""

    id: Any
    attributes: dict[str, Any]
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[tuple[str, str, str | None]] = field(default_factory=list)


Rows = dict[Dialect, list[Row]]

# ------------------------------------------------------------------------------------- data


def make_rows(seed: int = 1, count: int = 120) -> Rows:
    """Rows of every entity, with ties, gaps and values that databases treat each in their way."""
    rng = random.Random(seed)
    return {
        Dialect.RUNS: [_run(rng, i) for i in range(1, count + 1)],
        Dialect.EXPERIMENTS: [_experiment(rng, i) for i in range(1, count + 1)],
        Dialect.REGISTERED_MODELS: [_registered_model(rng, i) for i in range(1, count + 1)],
        Dialect.MODEL_VERSIONS: [
            _version(rng, i, v) for i in range(1, count + 1) for v in range(1, rng.randint(1, 3))
        ],
        Dialect.LOGGED_MODELS: [_logged_model(rng, i) for i in range(1, count + 1)],
    }


def _texts(rng: random.Random, *more: str) -> dict[str, str]:
    return {key: rng.choice(TEXTS) for key in (*KEYS, *more) if rng.random() < 0.6}


def _run(rng: random.Random, i: int) -> Row:
    used = {(rng.choice("de"), rng.choice("12")) for _ in range(rng.randint(0, 2))}
    return Row(
        i,
        {
            "run_id": f"{rng.choice('aB')}{i}",
            "run_name": rng.choice(TEXTS),
            "user_id": rng.choice("abc"),
            "status": rng.choice(STATUSES),
            "artifact_uri": f"s3://{rng.choice(TEXTS)}",
            "start_time": rng.choice(TIMES[:4]),
            "end_time": rng.choice((None, *TIMES)),
        },
        {key: [Point(rng.choice(NUMBERS))] for key in KEYS if rng.random() < 0.7},
        _texts(rng),
        _texts(rng),
        [(name, digest, rng.choice((None, "train", "Eval"))) for name, digest in sorted(used)],
    )


def _experiment(rng: random.Random, i: int) -> Row:
    attributes = {
        "experiment_id": i,
        "name": f"{rng.choice(TEXTS)} {i}",
        "creation_time": rng.choice(TIMES),
        "last_update_time": rng.choice(TIMES),
    }
    return Row(i, attributes, tags=_texts(rng))


def _prompt_tags(rng: random.Random) -> dict[str, str]:
    tags = _texts(rng)
    if rng.random() < 0.3:
        tags[PROMPT_TAG] = rng.choice(("true", "true", "false"))
    return tags


def _registered_model(rng: random.Random, i: int) -> Row:
    attributes = {
        "name": f"model {i}",
        "creation_timestamp": rng.choice(TIMES),
        "last_updated_timestamp": rng.choice(TIMES),
    }
    return Row(i, attributes, tags=_prompt_tags(rng))


def _version(rng: random.Random, model: int, version: int) -> Row:
    attributes = {
        "name": f"model {model}",
        "version": version,
        "run_id": rng.choice(("", "r1", "r2")),
        "source": rng.choice(TEXTS),
        "creation_timestamp": rng.choice(TIMES),
        "last_updated_timestamp": rng.choice(TIMES[:3]),
    }
    return Row((model, version), attributes, tags=_prompt_tags(rng))


def _logged_model(rng: random.Random, i: int) -> Row:
    metrics: dict[str, list[Point]] = {}
    for key in KEYS:
        for j in range(rng.choice((0, 0, 1, 3))):
            dataset = rng.choice((("", ""), ("d", "1"), ("d", "2"), ("e", "1")))
            point = Point(
                rng.choice(NUMBERS), rng.randint(0, 1), rng.randint(0, 1), f"r{j}", dataset
            )
            metrics.setdefault(key, []).append(point)
    attributes = {
        "model_id": f"m-{rng.choice('aB')}{i}",
        "name": rng.choice(TEXTS),
        "model_type": rng.choice((None, "a", "b")),
        "source_run_id": rng.choice((None, "r1", "r2")),
        "status": rng.choice(MODEL_STATUSES),
        "creation_timestamp_ms": rng.choice(TIMES[:4]),
        "last_updated_timestamp_ms": rng.choice(TIMES),
    }
    return Row(i, attributes, metrics, _texts(rng), _texts(rng))


def store_rows(connection: sa.Connection, rows: Rows) -> None:
    """Make the tables and put the rows in."""
    connection.exec_driver_sql("BEGIN")
    t.metadata.create_all(connection)
    keys = {key: i for i, key in enumerate(KEYS, start=1)}
    _insert(connection, t.keys, [{"id": i, "name": key} for key, i in keys.items()])
    _store_experiments(connection, rows[Dialect.EXPERIMENTS])
    _store_runs(connection, rows[Dialect.RUNS], keys)
    _store_registry(connection, rows)
    _store_logged_models(connection, rows[Dialect.LOGGED_MODELS])
    connection.exec_driver_sql("COMMIT")


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    connection.execute(table.insert(), list(rows))


def _store_experiments(connection: sa.Connection, rows: list[Row]) -> None:
    fixed = {"artifact_location": "x", "lifecycle_stage": "active"}
    _insert(
        connection,
        t.experiments,
        ({"id": row.id, **fixed, **_renamed(row, experiment_id="id")} for row in rows),
    )
    _insert(
        connection,
        t.experiment_tags,
        ({"experiment": r.id, "key": k, "value": v} for r in rows for k, v in r.tags.items()),
    )


def _renamed(row: Row, **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.attributes.items()}


def _store_runs(connection: sa.Connection, rows: list[Row], keys: dict[str, int]) -> None:
    fixed = {"experiment": 1, "lifecycle_stage": "active"}
    _insert(
        connection, t.runs, ({"id": r.id, **fixed, **_renamed(r, run_name="name")} for r in rows)
    )
    _insert(
        connection,
        t.latest_metrics,
        (
            {"run": r.id, "key": keys[k], "step": 0, "timestamp": 0, "value": points[0].value}
            for r in rows
            for k, points in r.metrics.items()
        ),
    )
    for table, attribute in ((t.params, "params"), (t.tags, "tags")):
        _insert(
            connection,
            table,
            (
                {"run": r.id, "key": keys[k], "value": v}
                for r in rows
                for k, v in getattr(r, attribute).items()
            ),
        )
    _store_datasets(connection, rows)


def _store_datasets(connection: sa.Connection, rows: list[Row]) -> None:
    known = {pair: i for i, pair in enumerate(sorted({d[:2] for r in rows for d in r.datasets}), 1)}
    fixed = {"experiment": 1, "source_type": "x", "source": "x"}
    _insert(
        connection,
        t.datasets,
        ({"id": i, "name": n, "digest": d, **fixed} for (n, d), i in known.items()),
    )
    used = [(r.id, known[(n, d)], context) for r in rows for n, d, context in r.datasets]
    _insert(
        connection,
        t.dataset_inputs,
        ({"id": i, "run": run, "dataset": d} for i, (run, d, _) in enumerate(used, 1)),
    )
    _insert(
        connection,
        t.dataset_input_tags,
        (
            {"input": i, "key": DATASET_CONTEXT_TAG, "value": context}
            for i, (_, _, context) in enumerate(used, 1)
            if context is not None
        ),
    )


def _store_registry(connection: sa.Connection, rows: Rows) -> None:
    models, versions = rows[Dialect.REGISTERED_MODELS], rows[Dialect.MODEL_VERSIONS]
    _insert(
        connection,
        t.registered_models,
        ({"id": r.id, "last_version": 3, **r.attributes} for r in models),
    )
    _insert(
        connection,
        t.registered_model_tags,
        ({"model": r.id, "key": k, "value": v} for r in models for k, v in r.tags.items()),
    )
    fixed = dict.fromkeys(("current_stage", "description", "storage_location", "status"), "x")
    columns = [c.name for c in t.model_versions.c if c.name in versions[0].attributes]
    _insert(
        connection,
        t.model_versions,
        (
            {"model": r.id[0], **fixed, "run_link": ""} | {n: r.attributes[n] for n in columns}
            for r in versions
        ),
    )
    _insert(
        connection,
        t.model_version_tags,
        (
            {"model": r.id[0], "version": r.id[1], "key": k, "value": v}
            for r in versions
            for k, v in r.tags.items()
        ),
    )


def _store_logged_models(connection: sa.Connection, rows: list[Row]) -> None:
    fixed = {"experiment": 1, "lifecycle_stage": "active", "artifact_uri": "x"}
    _insert(connection, t.logged_models, ({"id": r.id, **fixed, **r.attributes} for r in rows))
    for table, attribute in ((t.logged_model_params, "params"), (t.logged_model_tags, "tags")):
        _insert(
            connection,
            table,
            (
                {"model": r.id, "key": k, "value": v}
                for r in rows
                for k, v in getattr(r, attribute).items()
            ),
        )
    _insert(
        connection,
        t.logged_model_metrics,
        (
            {
                "model": r.id,
                "key": k,
                "timestamp": p.timestamp,
                "step": p.step,
                "run_id": p.run_id,
                "value": p.value,
                "dataset_name": p.dataset[0],
                "dataset_digest": p.dataset[1],
            }
            for r in rows
            for k, points in r.metrics.items()
            for p in points
        ),
    )


# --------------------------------------------------------------------------- plain evaluation


def search_plainly(
    rows: Rows,
    dialect: Dialect,
    parsed: Filter,
    order: Sequence[OrderTerm] = (),
    datasets: Sequence[DatasetRef] = (),
) -> list[Any]:
    """The ids that a search must find, in their order."""
    found = [row for row in rows[dialect] if _matches(row, parsed, datasets)]
    if dialect in (Dialect.REGISTERED_MODELS, Dialect.MODEL_VERSIONS):
        found = _without_prompts(rows[dialect], parsed, found)
    terms = [*order, *(OrderTerm(Kind.ATTRIBUTE, *own) for own in OWN_ORDER[dialect])]

    def compare(one: Row, other: Row) -> int:
        for term in terms:
            (rank, value), (other_rank, other_value) = _sort_key(one, term), _sort_key(other, term)
            if rank != other_rank:
                return rank - other_rank
            if rank == 0 and value != other_value:
                return (1 if value > other_value else -1) * (1 if term.ascending else -1)
        return 0

    return [row.id for row in sorted(found, key=cmp_to_key(compare))]


OWN_ORDER: dict[Dialect, list[tuple[str, bool]]] = {
    Dialect.RUNS: [("start_time", False), ("run_id", True)],
    Dialect.EXPERIMENTS: [("creation_time", False), ("experiment_id", True)],
    Dialect.REGISTERED_MODELS: [("name", True)],
    Dialect.MODEL_VERSIONS: [("last_updated_timestamp", False), ("name", True), ("version", False)],
    Dialect.LOGGED_MODELS: [("creation_timestamp_ms", False), ("model_id", True)],
}


def _sort_key(row: Row, term: OrderTerm) -> tuple[int, Any]:
    value: Any
    if term.kind is Kind.ATTRIBUTE:
        value = row.attributes[term.key]
    elif term.kind is Kind.METRIC:
        refs = [] if term.dataset_name is None else [(term.dataset_name, term.dataset_digest)]
        points = [p for p in row.metrics.get(term.key, []) if _on(p, refs)]
        newest = min(points, key=lambda p: (-p.timestamp, -p.step, p.run_id), default=None)
        value = newest and newest.value
    else:
        value = (row.params if term.kind is Kind.PARAM else row.tags).get(term.key)
    if value is None:
        return 2, None
    return (1, None) if isinstance(value, float) and math.isnan(value) else (0, value)


def _on(point: Point, datasets: Sequence[DatasetRef]) -> bool:
    name, digest = point.dataset
    return not datasets or any(n == name and d in (None, digest) for n, d in datasets)


def _without_prompts(rows: list[Row], parsed: Filter, found: list[Row]) -> list[Row]:
    """The rule of MLflow: no prompts unless the filter asks for them."""
    about = [c for c in parsed.comparisons if c.kind is Kind.TAG and c.key == PROMPT_TAG]
    meant = {(c.operator, c.value) for c in about}
    if meant & {(Operator.EQ, "true"), (Operator.NE, "false"), (Operator.IS_NOT_NULL, None)}:
        return found
    said = {(Operator.EQ, "false"), (Operator.NE, "true"), (Operator.IS_NULL, None)}
    others = Filter(
        tuple(c for c in parsed.comparisons if c not in about or (c.operator, c.value) not in said)
    )
    # Every version of a prompt counts as one, whichever of them carry the tag.
    prompts = {_model(row) for row in rows if row.tags.get(PROMPT_TAG) == "true"}
    return [row for row in rows if _matches(row, others, ()) and _model(row) not in prompts]


def _model(row: Row) -> Any:
    return row.id[0] if isinstance(row.id, tuple) else row.id


def _matches(row: Row, parsed: Filter, datasets: Sequence[DatasetRef]) -> bool:
    if datasets and not any(c.kind is Kind.METRIC for c in parsed.comparisons):
        points = [p for points in row.metrics.values() for p in points]
        if not any(_on(p, datasets) for p in points):
            return False
    return all(_holds(row, c, datasets) for c in parsed.comparisons)


def _holds(row: Row, c: Comparison, datasets: Sequence[DatasetRef]) -> bool:
    if c.kind is Kind.METRIC:
        points = (p.value for p in row.metrics.get(c.key, []) if _on(p, datasets))
        return any(_compare(value, c.operator, c.value) for value in points)
    if c.kind is Kind.DATASET:
        index = ("name", "digest", "context").index(c.key)
        return any(_compare(used[index], c.operator, c.value) for used in row.datasets)
    if c.kind is Kind.ATTRIBUTE:
        value = row.attributes[c.key]
        if c.key == "experiment_id":
            value = str(value)
    else:
        value = (row.params if c.kind is Kind.PARAM else row.tags).get(c.key)
    return _compare(value, c.operator, c.value)


def _compare(left: Any, operator: Operator, right: Any) -> bool:
    if operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        return (left is None) is (operator is Operator.IS_NULL)
    if left is None:
        return False
    if operator in (Operator.LIKE, Operator.ILIKE):
        wild = {"%": ".*", "_": "."}
        pattern = "".join(wild.get(c) or re.escape(c) for c in right)
        flags = re.DOTALL | (re.IGNORECASE if operator is Operator.ILIKE else 0)
        return re.fullmatch(pattern, left, flags) is not None
    if operator in (Operator.IN, Operator.NOT_IN):
        return (left in right) is (operator is Operator.IN)
    return bool(_FUNCTIONS[operator](left, right))


_FUNCTIONS = {
    Operator.EQ: eq,
    Operator.NE: ne,
    Operator.LT: lt,
    Operator.LE: le,
    Operator.GT: gt,
    Operator.GE: ge,
}


# -------------------------------------------------------------------------------- strategies


def _values(field: Field, operator: Operator) -> st.SearchStrategy[Any]:
    single: st.SearchStrategy[Any]
    if operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        return st.none()
    if field.value_type is ValueType.NUMBER:
        return st.sampled_from([n for n in NUMBERS if math.isfinite(n)])
    if field.value_type is ValueType.INTEGER:
        return st.sampled_from([*TIMES, 3, 0.5, 1.5, -0.5])
    if field.value_type is ValueType.ID:
        single = st.integers(0, 125).map(str)
    elif field.value_type is ValueType.MODEL_STATUS:
        single = st.sampled_from(MODEL_STATUSES)
    elif operator in (Operator.LIKE, Operator.ILIKE):
        return st.sampled_from(PATTERNS)
    else:
        names = ("model 1", "r1", "a1", "B2", "m-a1", "d", "e", "train", "Eval", *STATUSES)
        single = st.sampled_from((*TEXTS, *names))
    if operator in (Operator.IN, Operator.NOT_IN):
        return st.lists(single, min_size=1, max_size=5).map(tuple)
    return single


@st.composite
def comparisons(draw: st.DrawFn, dialect: Dialect) -> Comparison:
    """A comparison that hits the rows every now and then."""
    kind = draw(st.sampled_from(sorted(FIELDS[dialect], key=lambda k: k.value)))
    row = draw(st.sampled_from(FIELDS[dialect][kind]))
    operator = draw(st.sampled_from(row.operators))
    in_registry = dialect in (Dialect.REGISTERED_MODELS, Dialect.MODEL_VERSIONS)
    some_keys = (*KEYS, "nobody's", *([PROMPT_TAG] * 3 if in_registry else []))
    key = row.name or draw(st.sampled_from(some_keys))
    return Comparison(kind, key, operator, draw(_values(row, operator)))


def filters(dialect: Dialect) -> st.SearchStrategy[Filter]:
    """Filters of up to three comparisons, so that something is often found."""
    return st.lists(comparisons(dialect), max_size=3).map(lambda found: Filter(tuple(found)))


@st.composite
def orders(draw: st.DrawFn, dialect: Dialect) -> list[OrderTerm]:
    """Up to three different fields to sort by."""
    terms: dict[tuple[Kind, str], OrderTerm] = {}
    rows = [(k, r) for k, found in FIELDS[dialect].items() for r in found if r.orderable]
    for kind, row in draw(st.lists(st.sampled_from(rows), max_size=3)):
        key = row.name or draw(st.sampled_from((*KEYS, "nobody's")))
        dataset: tuple[str | None, str | None] = (None, None)
        if kind is Kind.METRIC and dialect is Dialect.LOGGED_MODELS:
            dataset = draw(st.sampled_from([(None, None), ("d", None), ("d", "2")]))
        terms[kind, key] = OrderTerm(kind, key, draw(st.booleans()), *dataset)
    return list(terms.values())
