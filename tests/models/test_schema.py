"""Types, columns, tensors and parameters: their JSON, and what they refuse."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace.types.schema
from headrace.errors import InvalidRequest
from headrace.models.schema import (
    AnyType,
    Array,
    ColSpec,
    DataType,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)
from headrace.models.schema_types import type_from_json, type_to_json
from headrace.models.signature import ModelSignature

NAMES = st.text(min_size=1, max_size=8)


def _nested(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.builds(Property, NAMES, types, st.booleans())
    unique = st.lists(properties, min_size=1, max_size=4, unique_by=lambda item: item.name)
    return st.one_of(st.builds(Array, types), st.builds(Map, types), st.builds(Object, unique))


TYPES = st.recursive(st.one_of(st.sampled_from(DataType), st.builds(AnyType)), _nested)
COLUMNS = st.lists(
    st.builds(ColSpec, TYPES, NAMES, st.booleans()), min_size=1, unique_by=lambda col: col.name
)
SHAPES = st.lists(st.integers(-1, 9), max_size=4)
DTYPES = st.sampled_from(["float32", "int64", "bool", "str", "bytes", "object", "datetime64[ns]"])
TENSORS = st.lists(
    st.builds(TensorSpec, DTYPES.map(np.dtype), SHAPES, NAMES),
    min_size=1,
    max_size=3,
    unique_by=lambda tensor: tensor.name,
)


@given(st.one_of(COLUMNS, TENSORS))
def test_a_schema_survives_its_json(inputs: list[Any]) -> None:
    schema = Schema(inputs)
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert again.to_json() == schema.to_json()
    assert repr(again) == repr(schema)
    assert again.input_names() == [item.name for item in inputs]
    signature = ModelSignature(schema, schema)
    assert ModelSignature.from_dict(signature.to_dict()) == signature


@given(TYPES, TYPES)
def test_types_are_equal_when_their_json_is(one: Any, other: Any) -> None:
    assert (one == other) == (type_to_json(one) == type_to_json(other))
    assert type_from_json(type_to_json(one)) == one


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_no_schema_is_refused(found: Any) -> None:
    with pytest.raises(InvalidRequest):
        Schema.from_json(json.dumps(found))


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["array", "object", "any", "x"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["type", "items", "values", "properties", "name", "required", "tensor-spec"]
            ),
            inner,
        )
    ),
)


@given(st.lists(st.dictionaries(st.sampled_from(["type", "items", "properties"]), JSONS)))
def test_a_malformed_schema_is_a_clear_error(found: list[Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        Schema.from_json(json.dumps(found))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[", "no JSON"),
        ('{"type": "long"}', "list of objects"),
        ("[]", "at least one"),
        ('[{"type": "decimal"}]', "'decimal' is none of boolean, integer"),
        ('[{"type": "array", "name": "a"}]', "at a: .* has no 'items'"),
        ('[{"type": "object", "name": "a", "properties": {"b": {}}}]', r"at a\.b: .* no 'type'"),
        ('[{"type": "object", "name": "a", "properties": []}]', "no object"),
        ('[{"type": "array", "name": "a", "items": {"type": "x"}}]', r"at a\[\]: type 'x'"),
        ('[{"type": "tensor"}]', "tensor-spec"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "nope", "shape": []}}]', "nope"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": ["x"]}}]', "x"),
        ('[{"type": "long"}, {"type": "long", "name": "a"}]', "named, or none"),
        ('[{"type": "long", "required": false}]', "optional only if"),
        ("[" * 100_000, "no JSON"),
        ('[{"type":' + '{"type":' * 900 + "1" + "}" * 901 + "]", "none of"),
    ],
)
def test_errors_say_what_is_wrong_where(text: str, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part):
        Schema.from_json(text)


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    deep: Any = {"type": "long"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        Schema.from_dict([deep])


def test_names_of_places_and_requirement() -> None:
    schema = Schema([ColSpec("long", "a"), ColSpec(DataType.string, "b", required=False)])
    assert schema.has_input_names()
    assert not schema.is_tensor_spec()
    assert schema.input_names() == ["a", "b"]
    assert schema.required_input_names() == ["a"]
    assert schema.optional_input_names() == ["b"]
    assert schema.input_types() == [DataType.long, DataType.string]
    assert schema.input_types_dict() == {"a": DataType.long, "b": DataType.string}
    assert schema.numpy_types() == [np.dtype("int64"), np.dtype("str")]
    assert schema.pandas_types() == [np.dtype("int64"), object]
    assert len(schema) == 2
    assert [item.name for item in schema] == ["a", "b"]
    assert repr(schema) == "['a': long (required), 'b': string (optional)]"
    unnamed = Schema([ColSpec("double"), ColSpec("double")])
    assert unnamed.input_names() == [0, 1]
    assert not unnamed.has_input_names()
    with pytest.raises(InvalidRequest, match="no names"):
        unnamed.input_dict()


def test_types_for_libraries_need_scalars() -> None:
    with pytest.raises(InvalidRequest, match="Column 'a' is nested"):
        Schema([ColSpec(Array("long"), "a")]).numpy_types()
    tensors = Schema([TensorSpec(np.dtype("f4"), (-1, 3))])
    assert tensors.numpy_types() == [np.dtype("f4")]
    with pytest.raises(InvalidRequest, match="no pandas types"):
        tensors.pandas_types()


def test_the_older_way_to_say_optional() -> None:
    schema = Schema.from_json('[{"type": "long", "name": "a", "optional": true}]')
    assert schema.optional_input_names() == ["a"]


def test_a_vector_of_spark() -> None:
    schema = Schema.from_json('[{"type": "sparkml_vector", "name": "a", "required": true}]')
    assert schema.to_dict()[0]["type"] == "sparkml_vector"
    assert isinstance(schema.input_types()[0], Array)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Array("decimal"),
        lambda: Map(int),  # type: ignore[arg-type]  # what users try
        lambda: Property(1, "long"),  # type: ignore[arg-type]  # what users try
        lambda: Object([]),
        lambda: Object([Property("a", "long"), Property("a", "string")]),
        lambda: Object(["a"]),  # type: ignore[list-item]  # what users try
        lambda: ColSpec("int"),
        lambda: TensorSpec("float32", (-1,)),  # type: ignore[arg-type]  # what users try
        lambda: TensorSpec(np.dtype("U5"), (-1,)),
        lambda: TensorSpec(np.dtype("f4"), 3),  # type: ignore[arg-type]  # what users try
        lambda: Schema([ColSpec("long", "a"), TensorSpec(np.dtype("f4"), (-1,), "b")]),
        lambda: Schema([TensorSpec(np.dtype("f4"), (-1,)), TensorSpec(np.dtype("f4"), (-1,))]),
        lambda: ParamSpec("p", "binary", b""),
        lambda: ParamSpec("p", Array("long"), []),  # type: ignore[arg-type]  # what users try
        lambda: ParamSpec("p", "long", [[1]], (-1,)),
        lambda: ParamSpec("p", "long", [1], (2,)),
        lambda: ParamSchema([ParamSpec("p", "long", 1), ParamSpec("p", "long", 2)]),
        ModelSignature,
        lambda: ModelSignature(inputs="long"),
        lambda: ModelSignature(params={"a": 1}),
    ],
)
def test_what_cannot_be_is_refused(make: Any) -> None:
    with pytest.raises(InvalidRequest):
        make()


def test_params_survive_their_json() -> None:
    params = ParamSchema(
        [
            ParamSpec("n", "long", 3),
            ParamSpec("t", DataType.double, 1),
            ParamSpec("stop", "string", ["a", "b"], (-1,)),
            ParamSpec("when", "datetime", "2020-01-02T03:04:05"),
            ParamSpec("o", Object([Property("x", "long")]), {"x": 1}),
            ParamSpec("none", "string", None),
        ]
    )
    again = ParamSchema.from_json(params.to_json())
    assert again == params
    assert [type(spec.default).__name__ for spec in again] == [
        *("int", "float", "list", "datetime", "dict", "NoneType")
    ]
    older = '[{"name": "n", "dtype": "long", "default": 3, "shape": null}]'
    assert ParamSchema.from_json(older).params == [params.params[0]]


def test_times_of_params_are_pythons_however_fine_they_were() -> None:
    fine = np.datetime64("2020-01-02T03:04:05.123456789")
    default = ParamSpec("when", "datetime", fine).default
    assert default == dt.datetime(2020, 1, 2, 3, 4, 5, 123456)  # noqa: DTZ001  (without a zone)


def test_the_names_of_mlflow_are_at_the_door() -> None:
    assert headrace.types.schema.Schema is Schema
    assert headrace.types.ColSpec is ColSpec
    assert headrace.types.schema.Object is Object


def test_scalar_types_know_those_of_python_and_numpy() -> None:
    assert DataType.from_numpy_type(np.dtype("float32")) is DataType.float
    assert DataType.from_numpy_type(np.dtype("complex64")) is None
    assert DataType.long.to_python() is int
    assert DataType.check_type(DataType.binary, bytearray(b"a"))
    assert not DataType.check_type(DataType.long, True)
    assert {member.name: member.value for member in DataType.all_types()} == {
        "boolean": 1,
        "integer": 2,
        "long": 3,
        "float": 4,
        "double": 5,
        "string": 6,
        "binary": 7,
        "datetime": 8,
    }
