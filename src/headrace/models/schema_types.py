"""The types that a column, a property or an item of a list can have, with MLflow's names and JSON.

A scalar is a `DataType`; what is nested is an `Array`, an `Object` of named `Property`s, or a
`Map`; `AnyType` says that nothing is known. In JSON each is `{"type": …}` and what belongs to it:
`{"type": "array", "items": {…}}`, `{"type": "object", "properties": {name: {…, "required": …}}}`,
`{"type": "map", "values": {…}}`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np

Json = dict[str, Any]


class DataType(Enum):
    """A scalar type; the numbers are MLflow's."""

    boolean = 1
    integer = 2  # 32 bits
    long = 3  # 64 bits
    float = 4  # 32 bits
    double = 5  # 64 bits
    string = 6
    binary = 7
    datetime = 8

    def __repr__(self) -> str:
        return self.name

    def to_numpy(self) -> np.dtype[Any]:
        """NumPy's type of the same name; those of texts and bytes without a length."""
        import numpy as np

        return np.dtype(_NUMPY_NAMES[self.name])

    def to_pandas(self) -> Any:
        """NumPy's type of a pandas column that holds it: `object` for texts and bytes."""
        return object if self.name in ("string", "binary") else self.to_numpy()

    def to_python(self) -> type[Any]:
        """The Python class of such values."""
        return _PYTHON_CLASSES[self.name]

    @classmethod
    def all_types(cls) -> list[DataType]:
        """Every scalar type."""
        return list(cls)

    @classmethod
    def from_numpy_type(cls, np_type: Any) -> DataType | None:
        """The type whose NumPy type is exactly this one; None where there is none."""
        return next((member for member in cls if member.to_numpy() == np_type), None)

    @classmethod
    def check_type(cls, data_type: DataType, value: Any) -> bool:
        """Whether the value's class is the Python class, or NumPy's, of this type."""
        import numpy as np

        kinds: list[Any] = [data_type.to_python(), data_type.to_numpy().type]
        extra: dict[DataType, list[Any]] = {
            cls.datetime: [np.datetime64, dt.datetime],
            cls.binary: [bytearray],
        }
        return type(value) in kinds + extra.get(data_type, [])


_NUMPY_NAMES: Final = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "str",
    "binary": "bytes",
    "datetime": "datetime64[ns]",
}
_PYTHON_CLASSES: Final[dict[str, type[Any]]] = {
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "string": str,
    "binary": bytes,
    "datetime": dt.date,
}


_Kind = TypeVar("_Kind")


class _Nested:
    """Two nested types are equal when their JSON is."""

    def to_dict(self) -> Json:
        """The type as JSON."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))


class AnyType(_Nested):
    """Nothing is known of the values, and nothing is checked."""

    def to_dict(self) -> Json:
        """The type as JSON."""
        return {"type": "any"}

    def __repr__(self) -> str:
        return "Any"


class Array(_Nested):
    """A list whose items all have the type `dtype`."""

    def __init__(self, dtype: FieldType | str) -> None:
        self.dtype: FieldType = as_type(dtype, "dtype")

    def to_dict(self) -> Json:
        """The type as JSON."""
        return {"type": "array", "items": type_to_json(self.dtype)}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> Array:
        """The array that this JSON describes."""
        return _expect(kwargs, cls)

    def __repr__(self) -> str:
        return f"Array({self.dtype!r})"


class SparkMLVector(Array):
    """A vector of Spark ML, which is checked as an array of doubles."""

    def __init__(self) -> None:
        super().__init__(DataType.double)

    def to_dict(self) -> Json:
        """The type as JSON."""
        return {"type": "sparkml_vector"}

    def __repr__(self) -> str:
        return "SparkML vector"


class Map(_Nested):
    """A dictionary with any keys (of text), whose values all have the type `value_type`."""

    def __init__(self, value_type: FieldType | str) -> None:
        self.value_type: FieldType = as_type(value_type, "value_type")

    def to_dict(self) -> Json:
        """The type as JSON."""
        return {"type": "map", "values": type_to_json(self.value_type)}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> Map:
        """The map that this JSON describes."""
        return _expect(kwargs, cls)

    def __repr__(self) -> str:
        return f"Map(str -> {self.value_type!r})"


class Property:
    """One named value of an `Object`."""

    def __init__(self, name: str, dtype: FieldType | str, required: bool = True) -> None:
        if not isinstance(name, str):
            raise InvalidRequest(f"A property's name must be a str, not {type(name).__name__}.")
        self.name = name
        self.dtype: FieldType = as_type(dtype, "dtype")
        self.required = required

    def to_dict(self) -> Json:
        """`{name: {"type": …, "required": …}}`."""
        return {self.name: {**type_to_json(self.dtype), "required": self.required}}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> Property:
        """The property that `name={"type": …, "required": …}` describes."""
        if len(kwargs) != 1:
            raise InvalidRequest(
                f"A property's JSON has one key, its name, not these {len(kwargs)}: {list(kwargs)}."
            )
        ((name, spec),) = kwargs.items()
        return _property(name, spec, "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Property) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __lt__(self, other: Property) -> bool:
        return self.name < other.name

    def __repr__(self) -> str:
        required = "required" if self.required else "optional"
        return f"{self.name}: {self.dtype!r} ({required})"


class Object(_Nested):
    """A dictionary with known keys; `properties` are kept sorted by name."""

    def __init__(self, properties: list[Property]) -> None:
        given: Any = properties
        if not isinstance(given, list) or not given:
            raise InvalidRequest("An Object needs a list of at least one Property.")
        if strangers := [item for item in given if not isinstance(item, Property)]:
            raise InvalidRequest(f"An Object is made of Property, not of {strangers[0]!r}.")
        names = [item.name for item in properties]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidRequest(f"An Object names these properties twice: {', '.join(twice)}.")
        self.properties = sorted(properties)

    def to_dict(self) -> Json:
        """The type as JSON."""
        properties: Json = {}
        for item in self.properties:
            properties |= item.to_dict()
        return {"type": "object", "properties": properties}

    @classmethod
    def from_json_dict(cls, **kwargs: Any) -> Object:
        """The object that this JSON describes."""
        return _expect(kwargs, cls)

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self.properties)) + "}"


FieldType: TypeAlias = DataType | Array | Object | Map | AnyType

SCALARS: Final = tuple(member.name for member in DataType)
_NESTED_NAMES: Final = ("array", "object", "map", "any")


def as_type(given: Any, argument: str) -> FieldType:
    """A type, or the scalar of that name. Raises InvalidRequest for anything else."""
    if isinstance(given, DataType | Array | Object | Map | AnyType):
        return given
    if isinstance(given, str) and given in SCALARS:
        return DataType[given]
    raise InvalidRequest(
        f"{argument} must be a DataType, Array, Object, Map or AnyType, or one of "
        f"{', '.join(SCALARS)}; it is {given!r}."
    )


def type_to_json(given: FieldType) -> Json:
    """The JSON of a type, a scalar's included."""
    return {"type": given.name} if isinstance(given, DataType) else given.to_dict()


def type_from_json(spec: Any, where: str = "") -> FieldType:
    """The type that JSON describes. Raises InvalidRequest, which says `where` in a schema it was.

    Keys that it has no use for (`name`, `required`) are left alone.
    """
    kind = _member(spec, "type", where)
    if kind == "array":
        return Array(type_from_json(_member(spec, "items", where), f"{where}[]"))
    if kind == "map":
        return Map(type_from_json(_member(spec, "values", where), f"{where}{{}}"))
    if kind == "object":
        properties = _member(spec, "properties", where)
        if not isinstance(properties, Mapping):
            raise InvalidRequest(_malformed(where, f"'properties' is {properties!r}, no object"))
        return Object([_property(name, item, where) for name, item in properties.items()])
    if kind == "any":
        return AnyType()
    if kind == "sparkml_vector":
        return SparkMLVector()
    if kind in SCALARS:
        return DataType[kind]
    known = ", ".join((*SCALARS, *_NESTED_NAMES))
    raise InvalidRequest(_malformed(where, f"type {kind!r} is none of {known}"))


def required_from_json(spec: Mapping[str, Any]) -> bool:
    """Whether a column or property must be there: yes unless it says no.

    Before MLflow 2.9 it said `"optional": true`.
    """
    required = spec.get("required")
    return not spec.get("optional", False) if required is None else bool(required)


def _property(name: str, spec: Any, where: str) -> Property:
    path = f"{where}.{name}" if where else name
    dtype = type_from_json(spec, path)
    return Property(name, dtype, required_from_json(spec))


def _member(spec: Any, key: str, where: str) -> Any:
    if not isinstance(spec, Mapping) or key not in spec:
        raise InvalidRequest(_malformed(where, f"{spec!r} has no '{key}'"))
    return spec[key]


def _malformed(where: str, what: str) -> str:
    return f"The schema is malformed{f' at {where}' if where else ''}: {what}."


def _expect(spec: Json, wanted: type[_Kind]) -> _Kind:
    found = type_from_json(spec)
    if not isinstance(found, wanted):
        raise InvalidRequest(_malformed("", f"{spec!r} is not of type {wanted.__name__.lower()}"))
    return found
