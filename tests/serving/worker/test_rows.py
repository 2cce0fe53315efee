"""The short way from requests to tables is equal to the ordinary one, whatever it takes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import HeadraceError
from headrace.models.enforcement import enforce_input
from headrace.models.payload import decode_payload
from headrace.models.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    Property,
    Schema,
    TensorSpec,
)
from headrace.models.signature import ModelSignature
from headrace.serving.worker.columns import NotTaken
from headrace.serving.worker.inferred_rows import InferredRows
from headrace.serving.worker.rows import Rows, plan_for

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
NESTED: list[Any] = [
    Array("double"),
    Object([Property("w", "long"), Property("v", "string", required=False)]),
    Map("string"),
    AnyType(),
]
VALUES = st.one_of(
    st.floats(),
    st.integers(-5, 5),
    st.sampled_from((2**31, -(2**31) - 1, 2**53 + 1, 2**63, 10**400)),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.sampled_from(
        ("AP8=", "2020-01-02", "2020-01-02T03:04:05.25", "2020-01-02T25:00", "9999-01-01")
    ),
    st.sampled_from(("2020-01-02T03:04:05Z", "2020-01-02 03:04")),
    st.lists(st.one_of(st.floats(allow_nan=False), st.integers(0, 3), st.none()), max_size=2),
    st.fixed_dictionaries({"w": st.integers(0, 3)}, optional={"v": st.text(max_size=2)}),
)
FITTING: dict[Any, st.SearchStrategy[Any]] = {
    DataType.boolean: st.booleans(),
    DataType.integer: st.integers(-(2**31), 2**31 - 1),
    DataType.long: st.integers(-(2**63), 2**63 - 1),
    DataType.float: st.one_of(st.floats(width=32), st.integers(-(2**60), 2**60), st.none()),
    DataType.double: st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.none()),
    DataType.string: st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    DataType.binary: st.sampled_from(("AP8=", "", "AP\n8=")),
    DataType.datetime: st.datetimes().map(lambda time: time.isoformat()),
    NESTED[0]: st.lists(st.one_of(st.floats(), st.integers(0, 3)), max_size=2),
    NESTED[1]: st.fixed_dictionaries({"w": st.integers(0, 3)}, optional={"v": st.text(max_size=2)}),
    NESTED[2]: st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2),
    NESTED[3]: st.one_of(st.text(max_size=2), st.lists(st.none() | st.integers(), max_size=2)),
}
_MOSTLY = st.sampled_from([True] * 30 + [False])


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    kinds = draw(st.lists(st.sampled_from([*DataType, *NESTED]), min_size=1, max_size=4))
    if draw(st.booleans()):
        return Schema([ColSpec(kind) for kind in kinds])
    return Schema(
        [ColSpec(kind, f"c{i}", required=draw(st.booleans())) for i, kind in enumerate(kinds)]
    )


@st.composite
def asked(draw: st.DrawFn) -> tuple[Schema, list[dict[str, Any]]]:
    """A schema, and requests most of which fit it."""
    schema = draw(schemas())
    return schema, [draw(_request(schema)) for _ in range(draw(st.integers(1, 3)))]


@st.composite
def _request(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    names = [str(name) for name in schema.input_names()]
    if not draw(_MOSTLY):
        names = [*names, "more"]
    names = [name for name in draw(st.permutations(names)) if draw(_MOSTLY)]
    kinds = dict(zip(map(str, schema.input_names()), schema.input_types(), strict=True))

    def value(name: str) -> Any:
        fitting = FITTING.get(kinds.get(name)) if draw(_MOSTLY) else None
        return draw(VALUES if fitting is None else fitting)

    count = draw(st.integers(1, 3)) if draw(_MOSTLY) else 0
    columns = {name: [value(name) for _ in range(count)] for name in names}
    rows = [{name: columns[name][row] for name in names} for row in range(count)]
    format_ = draw(st.sampled_from(FORMATS))
    if format_ == "dataframe_split":
        split: dict[str, Any] = {"data": [list(row.values()) for row in rows]}
        if schema.has_input_names() or draw(st.booleans()):
            split["columns"] = names
        index: list[Any] | None = [*range(count)]
        if draw(st.booleans()):
            index = None
        if not draw(_MOSTLY):
            odd: list[Any] = [["a", "b", "c"][:count], [0.0]]
            index = draw(st.sampled_from(odd))
        return {format_: {**split, "index": index} if index is not None else split}
    if format_ in ("inputs", "instances") and draw(st.booleans()):
        only = len(names) == 1 and draw(st.booleans())
        return {format_: columns[names[0]] if only else columns}
    return {format_: rows}


def ordinary(request: dict[str, Any], schema: Schema | None) -> Any:
    signature = None if schema is None else ModelSignature(schema)
    return enforce_input(decode_payload(json.dumps(request), signature).data, signature)


def short(
    requests: Sequence[dict[str, Any]], schema: Schema | None
) -> tuple[list[Any], list[Rows]]:
    """Those requests that are taken, and their rows."""
    plan = InferredRows() if schema is None else plan_for(schema)
    taken: list[Any] = []
    rows: list[Rows] = []
    for request in requests if plan is not None else ():
        ((format_, value),) = json.loads(json.dumps(request)).items()
        with contextlib.suppress(NotTaken):
            assert plan is not None
            found = plan.rows_of(format_, value)
            found.layout.table(found.rows)
            taken.append(request)
            rows.append(found)
    return taken, rows


@given(asked())
def test_each_request_makes_the_table_of_the_ordinary_way(
    case: tuple[Schema, list[dict[str, Any]]],
) -> None:
    schema, requests = case
    for known in (schema, None):
        for request, rows in zip(*short(requests, known), strict=True):
            made, wanted = rows.layout.table(rows.rows), ordinary(request, known)
            pd.testing.assert_frame_equal(made, wanted, check_exact=True)


@given(asked())
def test_a_batch_makes_the_tables_of_its_requests_one_below_the_other(
    case: tuple[Schema, list[dict[str, Any]]],
) -> None:
    for known in (case[0], None):
        check_batches(known, case[1])


def check_batches(schema: Schema | None, requests: list[dict[str, Any]]) -> None:
    """Compare the tables of all that go together."""
    taken, rows = short(requests, schema)
    by_layout: dict[Any, list[int]] = {}
    for place, each in enumerate(rows):
        by_layout.setdefault(each.layout.key, []).append(place)
    for places in by_layout.values():
        together = [row for place in places for row in rows[place].rows]
        try:
            made = rows[places[0]].layout.table(together)
        except NotTaken:
            continue
        wanted = pd.concat([ordinary(taken[place], schema) for place in places], ignore_index=True)
        pd.testing.assert_frame_equal(made, wanted, check_exact=True)


def test_numbers_lie_in_memory_as_pandas_has_them() -> None:
    """Sums over them are rounded alike then."""
    schema = Schema([ColSpec("double", "a"), ColSpec("double", "b")])
    request = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0], [3.0, 4.0]]}}
    ((_, (rows,)), wanted) = short([request], schema), ordinary(request, schema)
    made = rows.layout.table(rows.rows)
    assert made.to_numpy().strides == wanted.to_numpy().strides


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", DataType)
def test_common_requests_are_taken(kind: DataType, format_: str) -> None:
    schema = Schema([ColSpec(kind, "a"), ColSpec("double", "b")])
    values: dict[DataType, Any] = {
        DataType.boolean: True,
        DataType.string: "x",
        DataType.binary: "AP8=",
        DataType.datetime: "2020-01-02T03:04:05",
        DataType.float: 1.5,
        DataType.double: 1.5,
    }
    row = {"a": values.get(kind, 3), "b": None if format_ != "inputs" else 2}
    requests: list[Any] = [[row]]
    if format_ == "dataframe_split":
        requests = [{"columns": ["b", "a"], "data": [[row["b"], row["a"]]], "index": [0]}]
    elif format_ in ("inputs", "instances"):
        requests.append({name: [value] for name, value in row.items()})
    for request in requests:
        taken, rows = short([{format_: request}], schema)
        is_refused = (
            format_ == "inputs"
            and isinstance(request, list)
            and kind.name in ("integer", "float", "binary", "datetime")
        )
        assert bool(taken) != is_refused
        for each in rows:
            wanted = ordinary({format_: request}, schema)
            pd.testing.assert_frame_equal(each.layout.table(each.rows), wanted)


def test_columns_that_nobody_knows_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_for(Schema([ColSpec("double", "a")]))
    assert plan is not None
    for _ in range(3):
        rows = plan.rows_of("dataframe_records", [{"more": "x", "a": 1.0}])
        assert rows.layout.table(rows.rows).to_dict("list") == {"a": [1.0]}
    assert len(caplog.records) == 1
    assert "more" in caplog.text


def test_layouts_beyond_what_is_kept_are_still_alike() -> None:
    plan = InferredRows()
    first = plan.rows_of("dataframe_records", [{"a": 1}]).layout
    assert plan.rows_of("dataframe_records", [{"a": 2}]).layout is first
    for place in range(100):
        plan.rows_of("dataframe_records", [{f"c{place}": 1}])
    again = plan.rows_of("dataframe_records", [{"a": 1}]).layout
    assert again is not first
    assert again.key == first.key
    assert len(plan._layouts) == 64


@pytest.mark.parametrize(
    "split",
    [
        {"columns": ["a"], "data": [[1.0]], "more": 1},
        {"columns": ["a", "b", "b"], "data": [[1.0, 2.0, 3.0]]},
        {"columns": ["a"], "data": [[1.0]], "index": [5]},
        {"columns": ["a"], "data": [[1.0]], "index": [False]},
        {"columns": ["a", "a"], "data": [[1.0, 2.0]]},
        {"columns": ["a"], "data": [[1.0], [1.0, 2.0]]},
        {"columns": ["a"], "data": [{"a": 1.0}]},
        {"columns": ["a"], "data": [["1"]]},
        {"columns": ["a"], "data": [[True]]},
        {"columns": ["a"], "data": []},
        {"columns": "a", "data": [[1.0]]},
        {"columns": [["a"]], "data": [[1.0]]},
        {"data": [[1.0]]},
        [[1.0]],
        None,
    ],
)
def test_what_is_unusual_is_left_to_the_ordinary_way(split: Any) -> None:
    assert short([{"dataframe_split": split}], Schema([ColSpec("double", "a")])) == ([], [])


SUBTLE: list[tuple[Schema | None, dict[str, Any]]] = [
    (schema, {name: rows})
    for name in ("dataframe_records", "instances", "inputs")
    for schema in (Schema([ColSpec("double", "a"), ColSpec("double", "o", required=False)]), None)
    for rows in (
        [{"a": 1.0}, {"a": 1.0, "o": 2.0}],
        [{"a": 1.0, "o": 2.0}, {"a": 1.0}],
        [{"a": 1.0, "o": 2.0}, {"o": 3.0, "a": 4.0}],
        [{"a": 1.0, "x": 2.0}, {"a": 1.0, "o": 2.0}],
    )
]
# Rounded to 53 bits first and then to 24, this is another number.
SUBTLE.append((Schema([ColSpec("float", "a")]), {"dataframe_records": [{"a": 2**54 + 2**30 + 1}]}))


@pytest.mark.parametrize(("schema", "request_"), SUBTLE)
def test_what_looks_alike_is_taken_rightly_or_not_at_all(
    schema: Schema | None, request_: dict[str, Any]
) -> None:
    for _, rows in zip(*short([request_], schema), strict=True):
        wanted = ordinary(request_, schema)
        pd.testing.assert_frame_equal(rows.layout.table(rows.rows), wanted, check_exact=True)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
def test_what_32_bits_cannot_hold_is_not_taken(number: int) -> None:
    request = {"dataframe_records": [{"a": number}]}
    assert short([request], Schema([ColSpec("integer", "a")])) == ([], [])


def test_only_tables_have_a_plan() -> None:
    import numpy as np

    assert plan_for(None) is None
    assert plan_for(Schema([TensorSpec(np.dtype("float64"), (-1, 2))])) is None
    assert plan_for(Schema([ColSpec(AnyType())])) is None


def test_what_the_ordinary_way_refuses_is_never_taken() -> None:
    schema = Schema([ColSpec("long", "a"), ColSpec("string", "b")])
    for row in ([1.5, "x"], [2**63, "x"], [1, 2], [None, "x"], [[1], "x"]):
        request = {"dataframe_split": {"columns": ["a", "b"], "data": [row]}}
        with pytest.raises(HeadraceError):
            ordinary(request, schema)
        assert short([request], schema) == ([], [])
