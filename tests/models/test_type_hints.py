"""Signatures from the type hints of predict functions."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from headrace.errors import InvalidRequest
from headrace.models.hint_types import schema_of_hint
from headrace.models.schema import ParamSchema
from headrace.models.type_hints import (
    TypeFromExample,
    input_hint,
    output_hint,
    signature_from_type_hints,
    takes_context,
)


class Message(BaseModel):
    role: str
    content: str | None = None


class Chat(BaseModel):
    messages: list[Message]
    temperature: float = 1.0
    tools: dict[str, Any] | None = None
    seed: int | str = 0


class Gap(BaseModel):
    maybe: str | None


HINTS: list[tuple[Any, dict[str, Any]]] = [
    (list[str], {"type": "string"}),
    (list[int], {"type": "long"}),
    (list[float], {"type": "double"}),
    (list[bool], {"type": "boolean"}),
    (list[bytes], {"type": "binary"}),
    (list[dt.datetime], {"type": "datetime"}),
    (list[Any], {"type": "any"}),
    (list[int | str], {"type": "any"}),
    (list[list[str]], {"type": "array", "items": {"type": "string"}}),
    (list[dict[str, float]], {"type": "map", "values": {"type": "double"}}),
    (
        list[dict[str, list[Any]]],
        {"type": "map", "values": {"type": "array", "items": {"type": "any"}}},
    ),
    (
        list[Message],
        {
            "type": "object",
            "properties": {
                "content": {"type": "string", "required": False},
                "role": {"type": "string", "required": True},
            },
        },
    ),
]


def predictor(hint: Any, returned: Any = None) -> Callable[..., Any]:
    def predict(self: Any, context: Any, model_input: Any, params: Any = None) -> Any: ...

    predict.__annotations__ = {"model_input": hint, "return": returned}
    return predict


@pytest.mark.parametrize(("hint", "spec"), HINTS)
def test_the_row_of_a_list_is_the_schema(hint: Any, spec: dict[str, Any]) -> None:
    signature = signature_from_type_hints(predictor(hint, hint))
    assert signature is not None
    assert signature.inputs is not None
    assert signature.inputs.to_dict() == [{**spec, "required": True}]
    assert signature.outputs == signature.inputs


def test_nested_pydantic_models() -> None:
    spec = schema_of_hint(list[Chat]).to_dict()[0]
    properties = spec["properties"]
    assert properties["messages"]["items"]["properties"]["role"]["type"] == "string"
    assert properties["temperature"] == {"type": "double", "required": True}
    assert properties["tools"] == {"type": "map", "values": {"type": "any"}, "required": False}
    assert properties["seed"] == {"type": "any", "required": True}


@pytest.mark.parametrize(
    "hint", [pd.DataFrame, np.ndarray, str, dict[str, str], Message, TypeFromExample, None]
)
def test_hints_that_say_no_schema_give_no_signature(hint: Any) -> None:
    assert signature_from_type_hints(predictor(hint)) is None


@pytest.mark.parametrize(
    ("hint", "part"),
    [
        (list, "says nothing of what is in it"),
        (dict, "says nothing"),
        (list[dict[int, str]], "keys of dict"),
        (list[dict], "no schema"),  # type: ignore[type-arg]  # what users write
        (list[set[str]], "no schema"),
        (list[Optional[str]], "whole row be missing"),  # noqa: UP045  (the older way)
        (list[str | None], "whole row be missing"),
        (list[Gap], "'maybe' of Gap may be None but has no default"),
        (list[list], "no schema"),  # type: ignore[type-arg]  # what users write
        (list[np.float64], "float64 says no schema"),
    ],
)
def test_hints_that_are_no_schema_are_refused(hint: Any, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part):
        signature_from_type_hints(predictor(hint))


@pytest.mark.parametrize("returned", [None, pd.DataFrame, set[str]])
def test_an_output_without_a_schema_may_be_anything(returned: Any) -> None:
    signature = signature_from_type_hints(predictor(list[str], returned))
    assert signature is not None
    assert signature.outputs is not None
    assert signature.outputs.to_dict() == [{"type": "any", "required": True}]


def test_an_output_need_not_be_a_list() -> None:
    signature = signature_from_type_hints(predictor(list[str], dict[str, float]))
    assert signature is not None
    assert signature.outputs is not None
    assert signature.outputs.to_dict()[0]["type"] == "map"


def test_params_of_an_example_are_in_the_signature() -> None:
    signature = signature_from_type_hints(predictor(list[str]), {"n": 3})
    assert signature is not None
    assert isinstance(signature.params, ParamSchema)
    assert signature.params.params[0].default == 3


def function(rows: list[str]) -> list[int]:
    return [len(row) for row in rows]


def with_params(model_input: list[str], params: dict[str, Any]) -> list[str]:
    return model_input


def with_extra(context: Any, model_input: list[str], extra: int) -> None: ...


class Model:
    def predict(self, context: Any, model_input: list[Message]) -> list[str]:
        return []

    def __call__(self, model_input: list[float]) -> float:
        return 0.0


def test_the_input_is_found_among_the_parameters() -> None:
    assert input_hint(function) == list[str]
    assert output_hint(function) == list[int]
    assert not takes_context(function)
    assert input_hint(with_params) == list[str]
    assert not takes_context(with_params)
    assert input_hint(Model.predict) == list[Message]
    assert input_hint(Model().predict) == list[Message]
    assert input_hint(with_extra) == list[str]
    assert takes_context(Model.predict)
    assert takes_context(Model().predict)
    assert input_hint(Model()) == list[float]
    assert input_hint(lambda rows: rows) is None
    assert input_hint(lambda: 0) is None


def test_hints_that_cannot_be_resolved_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    broken = predictor("list[Nowhere]")
    with caplog.at_level(logging.WARNING):
        assert signature_from_type_hints(broken) is None
    assert "Nowhere" in caplog.text
