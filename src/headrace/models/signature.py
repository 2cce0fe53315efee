"""A model's signature: the schemas of what it takes and gives, and its parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from headrace.errors import InvalidRequest
from headrace.models import also_here
from headrace.models.infer_params import infer_params
from headrace.models.infer_schema import infer_schema
from headrace.models.schema import ParamSchema, Schema

__getattr__ = also_here("set_signature")


class ModelSignature:
    """The schemas of a model's input and output and its parameters; at least one of them is known.

    A dataclass stands for the schema of its fields.
    """

    def __init__(self, inputs: Any = None, outputs: Any = None, params: Any = None) -> None:
        self.inputs: Schema | None = _schema(inputs, "inputs")
        self.outputs: Schema | None = _schema(outputs, "outputs")
        if params is not None and not isinstance(params, ParamSchema):
            raise InvalidRequest(f"params must be a ParamSchema, not {type(params).__name__}.")
        self.params: ParamSchema | None = params
        if inputs is None and outputs is None and params is None:
            raise InvalidRequest("A signature needs at least one of inputs, outputs and params.")

    def to_dict(self) -> dict[str, str | None]:
        """The three as JSON texts, the way they stand in `MLmodel`; None for what is not known."""
        return {
            "inputs": self.inputs.to_json() if self.inputs else None,
            "outputs": self.outputs.to_json() if self.outputs else None,
            "params": self.params.to_json() if self.params else None,
        }

    @classmethod
    def from_dict(cls, signature_dict: Mapping[str, Any]) -> ModelSignature:
        """The signature in an `MLmodel`. Raises InvalidRequest where it is malformed."""
        if not isinstance(signature_dict, Mapping):
            raise InvalidRequest(f"The signature is malformed: {signature_dict!r} is no mapping.")
        texts = {name: signature_dict.get(name) for name in ("inputs", "outputs", "params")}
        return cls(
            Schema.from_json(texts["inputs"]) if texts["inputs"] else None,
            Schema.from_json(texts["outputs"]) if texts["outputs"] else None,
            ParamSchema.from_json(texts["params"]) if texts["params"] else None,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelSignature):
            return False
        mine = (self.inputs, self.outputs, self.params)
        return mine == (other.inputs, other.outputs, other.params)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        parts = {"inputs": self.inputs, "outputs": self.outputs, "params": self.params}
        return "".join(f"{name}: \n  {part!r}\n" for name, part in parts.items())


def infer_signature(
    model_input: Any = None,
    model_output: Any = None,
    params: Mapping[str, Any] | None = None,
) -> ModelSignature:
    """The signature of a model that takes, gives and is told the like of these.

    Takes DataFrames and Series of pandas and polars, arrays and dictionaries of arrays, sparse
    matrices, dictionaries, lists, scalars, pydantic models and dataclasses (classes or objects).
    A column is required if no value of it is missing here, so give data like that which the model
    will meet. Data that no schema can describe is allowed to be anything, with a warning. Raises
    InvalidRequest where nothing is given, and for parameters whose type cannot be told.
    """
    return ModelSignature(
        None if model_input is None else infer_schema(model_input),
        None if model_output is None else infer_schema(model_output),
        infer_params(params) if params else None,
    )


def _schema(given: Any, name: str) -> Schema | None:
    if given is None or isinstance(given, Schema):
        return given
    if dataclasses.is_dataclass(given):
        return infer_schema(given)
    raise InvalidRequest(f"{name} must be a Schema or a dataclass, not {type(given).__name__}.")
