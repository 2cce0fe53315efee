"""Schemas: what a model takes and gives, as columns or as tensors, and its parameters.

Names and JSON are MLflow's. A column is `{"type": "long", "name": "age", "required": true}`, a
tensor `{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}`, where -1 is any
length; a parameter is `{"name": …, "type": …, "default": …, "shape": null}`, with the shape
`[-1]` for a list, and `properties` beside the type of an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.param_values import LIST_SHAPE, cast_param
from headrace.models.schema_types import (
    AnyType,
    Array,
    DataType,
    FieldType,
    Json,
    Map,
    Object,
    Property,
    SparkMLVector,
    as_type,
    required_from_json,
    type_from_json,
    type_to_json,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "AnyType",
    "Array",
    "ColSpec",
    "DataType",
    "FieldType",
    "Json",
    "Map",
    "Object",
    "ParamSchema",
    "ParamSpec",
    "Property",
    "Schema",
    "SparkMLVector",
    "TensorSpec",
    "as_type",
    "load_json_list",
    "type_from_json",
    "type_to_json",
]


class ColSpec:
    """A column: its type, its name (None in a schema without names), and if it must be there."""

    def __init__(
        self,
        type: FieldType | str,  # noqa: A002  (MLflow's name)
        name: str | int | None = None,
        required: bool = True,
    ) -> None:
        self.type: FieldType = as_type(type, "type")
        self.name = name
        self.required = required

    def to_dict(self) -> Json:
        """The column as JSON."""
        named = {} if self.name is None else {"name": self.name}
        return {**type_to_json(self.type), **named, "required": self.required}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> ColSpec:
        """The column that this JSON describes."""
        name = kwargs.get("name")
        where = "" if name is None else str(name)
        return cls(type_from_json(kwargs, where), name, required_from_json(kwargs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColSpec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        named = "" if self.name is None else f"{self.name!r}: "
        return f"{named}{self.type!r} ({'required' if self.required else 'optional'})"


_TYPE_NAMES: Final = frozenset(
    (
        *("bool", "object", "str", "bytes"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
"""What NumPy itself calls its types, so that they need not be looked up."""


class TensorSpec:
    """An array: NumPy's type of its items, and its shape with -1 where any length will do."""

    required = True

    def __init__(
        self,
        type: np.dtype[Any],  # noqa: A002  (MLflow's name)
        shape: Sequence[int],
        name: str | None = None,
    ) -> None:
        import numpy as np

        if not isinstance(type, np.dtype):
            raise InvalidRequest(f"A tensor's type must be a numpy.dtype, not {type!r}.")
        if type.kind in "US" and type.itemsize:
            raise InvalidRequest(
                f"A tensor of texts or bytes has no length in its type: "
                f"numpy.dtype('{'str' if type.kind == 'U' else 'bytes'}'), not {type!r}."
            )
        if not isinstance(shape, tuple | list):
            raise InvalidRequest(f"A tensor's shape must be a tuple or list, not {shape!r}.")
        self._type: np.dtype[Any] | str = type
        self.shape = tuple(shape)
        self.name = name

    @property
    def type(self) -> np.dtype[Any]:
        """NumPy's type of the items, which is first looked up when somebody asks for it: what only
        hands a model on does without NumPy.
        """
        if isinstance(self._type, str):
            import numpy as np

            self._type = np.dtype(self._type)
        return self._type

    @property
    def _type_name(self) -> str:
        return self._type if isinstance(self._type, str) else self._type.name

    def to_dict(self) -> Json:
        """The tensor as JSON."""
        named = {} if self.name is None else {"name": self.name}
        spec = {"dtype": self._type_name, "shape": self.shape}
        return {**named, "type": "tensor", "tensor-spec": spec}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> TensorSpec:
        """The tensor that this JSON describes."""
        spec = kwargs.get("tensor-spec")
        if not isinstance(spec, dict) or not {"dtype", "shape"} <= spec.keys():
            raise InvalidRequest(
                f"The schema is malformed: a tensor needs a 'tensor-spec' with 'dtype' and "
                f"'shape', but it is {spec!r}."
            )
        try:
            dtype = _dtype(spec["dtype"])
            shape = tuple(int(length) for length in spec["shape"])
        except (TypeError, ValueError) as error:
            raise InvalidRequest(
                f"The schema is malformed: tensor-spec {spec!r}: {error}"
            ) from None
        if not isinstance(dtype, str):
            return cls(dtype, shape, kwargs.get("name"))
        made = cls.__new__(cls)
        made._type, made.shape, made.name = dtype, shape, kwargs.get("name")
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        named = "" if self.name is None else f"{self.name!r}: "
        return f"{named}Tensor({self._type_name!r}, {self.shape!r})"


class Schema:
    """Columns or tensors, never both; all of them named, or none.

    Without names a table's columns go by their place, and there is one tensor only. Raises
    InvalidRequest for a list that breaks these rules.
    """

    def __init__(self, inputs: Sequence[ColSpec | TensorSpec]) -> None:
        if not isinstance(inputs, list) or not inputs:
            raise InvalidRequest(
                f"A Schema needs a list of at least one ColSpec or TensorSpec, not {inputs!r}."
            )
        _check_kinds(inputs)
        _check_names(inputs)
        self.inputs: list[ColSpec | TensorSpec] = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[ColSpec | TensorSpec]:
        return iter(self.inputs)

    def is_tensor_spec(self) -> bool:
        """Whether it is made of tensors."""
        return isinstance(self.inputs[0], TensorSpec)

    def has_input_names(self) -> bool:
        """Whether its columns or tensors have names."""
        return self.inputs[0].name is not None

    def input_names(self) -> list[str | int]:
        """The names, or the places where there are none."""
        return [self._name(place, item) for place, item in enumerate(self.inputs)]

    def required_input_names(self) -> list[str | int]:
        """The names (or places) of what must be there."""
        return [self._name(i, item) for i, item in enumerate(self.inputs) if item.required]

    def optional_input_names(self) -> list[str | int]:
        """The names of what may be missing."""
        return [self._name(i, item) for i, item in enumerate(self.inputs) if not item.required]

    @staticmethod
    def _name(place: int, item: ColSpec | TensorSpec) -> str | int:
        return place if item.name is None else item.name

    def input_types(self) -> list[Any]:
        """Each column's type, each tensor's NumPy type."""
        return [item.type for item in self.inputs]

    def input_types_dict(self) -> dict[str | int, Any]:
        """The types by name. Raises InvalidRequest for a schema without names."""
        return {name: item.type for name, item in self.input_dict().items()}

    def input_dict(self) -> dict[str | int, ColSpec | TensorSpec]:
        """The columns or tensors by name. Raises InvalidRequest for a schema without names."""
        if not self.has_input_names():
            raise InvalidRequest("The schema has no names to find its columns or tensors by.")
        return dict(zip(self.input_names(), self.inputs, strict=True))

    def numpy_types(self) -> list[np.dtype[Any]]:
        """NumPy's types. Raises InvalidRequest where a column is nested."""
        if self.is_tensor_spec():
            return self.input_types()
        return [kind.to_numpy() for kind in self._scalars()]

    def pandas_types(self) -> list[Any]:
        """The types of pandas columns. Raises InvalidRequest for tensors and nested columns."""
        if self.is_tensor_spec():
            raise InvalidRequest("Tensors have no pandas types; ask for numpy_types().")
        return [kind.to_pandas() for kind in self._scalars()]

    def _scalars(self) -> list[DataType]:
        types = self.input_types()
        for name, kind in zip(self.input_names(), types, strict=True):
            if not isinstance(kind, DataType):
                raise InvalidRequest(f"Column {name!r} is nested ({kind!r}): no scalar type fits.")
        return types

    def to_dict(self) -> list[Json]:
        """The columns or tensors as JSON."""
        return [item.to_dict() for item in self.inputs]

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, json_str: str) -> Schema:
        """The schema that a text describes. Raises InvalidRequest where it is malformed."""
        return cls.from_dict(load_json_list(json_str, "schema"))

    @classmethod
    def from_dict(cls, specs: list[Json]) -> Schema:
        """The schema that this JSON describes. Raises InvalidRequest where it is malformed."""
        try:
            return cls([_input_from_json(spec) for spec in specs])
        except RecursionError:
            raise InvalidRequest("The schema is malformed: it is nested too deeply.") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.inputs == other.inputs

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return repr(self.inputs)


class ParamSpec:
    """A parameter: name, type (a scalar's or an Object), default, and shape (`(-1,)`: a list)."""

    def __init__(
        self,
        name: str,
        dtype: DataType | Object | str,
        default: Any,
        shape: Sequence[int] | None = None,
    ) -> None:
        self.name = str(name)
        kind = as_type(dtype, "dtype")
        if not isinstance(kind, DataType | Object) or kind is DataType.binary:
            raise InvalidRequest(
                f"Parameter '{self.name}' must be of a scalar type other than binary, or an "
                f"Object; it is {kind!r}."
            )
        self.dtype: DataType | Object = kind
        self.shape = None if shape is None else tuple(shape)
        if self.shape not in (None, LIST_SHAPE):
            raise InvalidRequest(
                f"The shape of parameter '{self.name}' must be None (one value) or (-1,) "
                f"(a list); it is {self.shape!r}."
            )
        self.default = self.cast(default)

    def cast(self, value: Any) -> Any:
        """This value as the parameter's type, in Python's classes.

        Integers become floats where a float is wanted, texts become times. Raises InvalidRequest,
        naming the parameter, for any other difference.
        """
        return cast_param(self.name, value, self.dtype, self.shape)

    @classmethod
    def validate_param_spec(cls, value: Any, param_spec: ParamSpec) -> Any:
        """The value as that parameter's type (MLflow's name for `cast`)."""
        return param_spec.cast(value)

    def to_dict(self) -> Json:
        """The parameter as JSON."""
        default = self.default
        if self.dtype is DataType.datetime:
            times = default if isinstance(default, list) else [default]
            texts = [None if time is None else time.isoformat() for time in times]
            default = texts if isinstance(default, list) else texts[0]
        head = {"name": self.name, "default": default, "shape": self.shape}
        return {**head, **type_to_json(self.dtype)}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> ParamSpec:
        """The parameter that this JSON describes; `dtype` is an older name of `type`."""
        kind = kwargs.get("type", kwargs.get("dtype"))
        if kind is None or not {"name", "default"} <= kwargs.keys():
            raise InvalidRequest(
                f"The params of the signature are malformed: 'name', 'type' and 'default' are "
                f"needed, and these are there: {', '.join(kwargs)}."
            )
        dtype = type_from_json({**kwargs, "type": kind}, str(kwargs["name"]))
        return cls(kwargs["name"], dtype, kwargs["default"], kwargs.get("shape"))  # type: ignore[arg-type]  # the constructor refuses other types

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParamSpec):
            return False
        mine = (self.name, self.dtype, self.default, self.shape)
        return mine == (other.name, other.dtype, other.default, other.shape)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        shape = "" if self.shape is None else f" (shape: {self.shape})"
        return f"{self.name!r}: {self.dtype!r} (default: {self.default}){shape}"


class ParamSchema:
    """The parameters of a model. Raises InvalidRequest where a name is there twice."""

    def __init__(self, params: Sequence[ParamSpec]) -> None:
        given: Sequence[Any] = params
        if strangers := [item for item in given if not isinstance(item, ParamSpec)]:
            raise InvalidRequest(f"A ParamSchema is made of ParamSpec, not of {strangers[0]!r}.")
        names = [item.name for item in params]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidRequest(f"These parameters are there twice: {', '.join(twice)}.")
        self.params = list(params)

    def __len__(self) -> int:
        return len(self.params)

    def __iter__(self) -> Iterator[ParamSpec]:
        return iter(self.params)

    def to_dict(self) -> list[Json]:
        """The parameters as JSON."""
        return [item.to_dict() for item in self.params]

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, json_str: str) -> ParamSchema:
        """The parameters that a text describes. Raises InvalidRequest where it is malformed."""
        specs = load_json_list(json_str, "list of params")
        try:
            return cls([ParamSpec.from_json_dict(**spec) for spec in specs])
        except RecursionError:
            raise InvalidRequest("The list of params is nested too deeply.") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParamSchema) and self.params == other.params

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return repr(self.params)


def load_json_list(text: Any, what: str) -> list[Json]:
    """The list of objects in a JSON text. Raises InvalidRequest for anything else."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The {what} is malformed: no JSON text ({error}).") from None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidRequest(f"The {what} is malformed: a list of objects is expected.")
    return found


def _dtype(text: Any) -> np.dtype[Any] | str:
    """The type that a schema names; a name that NumPy has for it stays a text. Raises TypeError."""
    if isinstance(text, str) and text in _TYPE_NAMES:
        return text
    import numpy as np

    found: np.dtype[Any] = np.dtype(text)
    return found


def _input_from_json(spec: Json) -> ColSpec | TensorSpec:
    if spec.get("type") == "tensor":
        return TensorSpec.from_json_dict(**spec)
    return ColSpec.from_json_dict(**spec)


def _check_kinds(inputs: Sequence[ColSpec | TensorSpec]) -> None:
    kinds = {type(item) for item in inputs}
    if kinds not in ({ColSpec}, {TensorSpec}):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidRequest(f"A Schema is made of ColSpec or of TensorSpec, not of {names}.")
    if kinds == {TensorSpec} and len(inputs) > 1 and any(item.name is None for item in inputs):
        raise InvalidRequest("Several tensors in one Schema need a name each.")


def _check_names(inputs: Sequence[ColSpec | TensorSpec]) -> None:
    names = [item.name for item in inputs]
    if all(name is None for name in names):
        if not all(item.required for item in inputs):
            raise InvalidRequest("A column can be optional only if the columns have names.")
    elif any(name is None for name in names):
        raise InvalidRequest(f"All columns of a Schema are named, or none; these are {names}.")
