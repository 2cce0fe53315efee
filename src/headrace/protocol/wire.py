"""Pieces that all structs of the protocol are made of: bases, integers, floats, key-values.

Three rules of the wire live here. A field that is unset is omitted, an explicit zero is kept:
optional fields default to None, which `omit_defaults` leaves out, and required answers have no
default. An int64 must fit 64 bits. NaN and the infinities travel as the strings "NaN",
"Infinity" and "-Infinity": msgspec would write null, so they are carried by `NonFinite`, a
float that it does not know and hands to the encoder's hook.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from headrace.errors import InvalidRequest
from headrace.protocol import limits

Int64 = Annotated[int, Meta(ge=limits.INT64_MIN, le=limits.INT64_MAX)]


class NonFinite(float):
    """NaN or an infinity, on its way to the wire."""

    __slots__ = ()

    @property
    def wire_name(self) -> str:
        """The string that stands for this value in JSON."""
        if math.isnan(self):
            return "NaN"
        return "Infinity" if self > 0 else "-Infinity"


class Entity:
    """What programs turn into dictionaries, as MLflow's entities let them."""

    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values, by name: `dict(entity)` works."""
        fields: tuple[str, ...] = getattr(type(self), "__struct_fields__", ())
        return ((name, getattr(self, name)) for name in sorted(fields))

    def to_dictionary(self) -> dict[str, Any]:
        """Plain dictionaries, lists and values, all the way down."""
        return {name: _plain(value) for name, value in self}


def _plain(value: Any) -> Any:
    if isinstance(value, Entity):
        return value.to_dictionary()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return msgspec.to_builtins(value, enc_hook=float)


class Request(Struct, omit_defaults=True):
    """Base of what is sent to an endpoint; made only if it is valid."""


class Answer(Entity, Struct, omit_defaults=True):
    """Base of what an endpoint answers."""


class Empty(Answer):
    """The answer `{}`."""


class Tag(Entity, Struct, omit_defaults=True, gc=False):
    """A tag: a key and a text, which may be overwritten and deleted."""

    key: str
    value: str = field(default_factory=str)


class Param(Entity, Struct, omit_defaults=True, gc=False):
    """A parameter: a key and a text, written once."""

    key: str
    value: str = field(default_factory=str)


class ViewType(StrEnum):
    """Which stage of life a search sees."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"

    @classmethod
    def from_string(cls, view_str: str) -> Self:
        """The member of a name such as "active_only" (MLflow's spelling)."""
        return as_enum(cls, view_str.upper(), "view_str")

    @classmethod
    def to_string(cls, view_type: str | int) -> str:
        """The name, such as "active_only" (MLflow's spelling), of a member or its number."""
        return as_enum(cls, view_type, "view_type").value.lower()


E_ = TypeVar("E_", bound=StrEnum)


def as_enum(family: type[E_], value: E_ | str | int, field_name: str) -> E_:
    """The member of `family` that a name, or its 1-based protobuf number, stands for."""
    members = list(family)
    if isinstance(value, int):
        if 1 <= value <= len(members):
            return members[value - 1]
    else:
        try:
            return family(value)
        except ValueError:
            pass
    names = ", ".join(member.value for member in members)
    raise InvalidRequest(f"Invalid value {value!r} for '{field_name}': expected one of {names}.")
