"""The fields of an XGBoost model's objects: which there are, and of which type."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.models.flavors.ubjson import TypedArray

MOST: Final = 1 << 24
"""Of nodes, features, trees and categories."""
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,9}")


class NotChecked(ValueError):
    """A model has what is not known here; a newer XGBoost, or an old one, may have written it."""


def fields(given: Any, what: str, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raise ValueError unless `given` is an object with these fields; NotChecked for others."""
    if not isinstance(given, dict):
        raise ValueError(f"{what} is no object")
    for name in needed:
        if name not in given:
            raise ValueError(f"{what} has no '{name}'")
    if len(given) > len(needed):
        for name in given:
            if name not in needed and name not in optional:
                raise NotChecked(f"{what} has a field '{name[:40]}', which is not known here")


def text(given: Mapping[str, Any], name: str, what: str) -> str:
    """The text of a field. Raises ValueError."""
    found = given[name]
    if not isinstance(found, str):
        raise ValueError(f"{what}: '{name}' is no text")
    return found


def texts(given: Any, what: str) -> None:
    """Raise ValueError unless `given` is an object all of whose values are texts."""
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        raise ValueError(f"{what} should be an object of texts")


def count(given: Mapping[str, Any], name: str, what: str, least: int = 0, most: int = MOST) -> int:
    """The whole number that a field holds as a text, as XGBoost writes its parameters."""
    found = given[name]
    if not isinstance(found, str) or not _WHOLE.fullmatch(found):
        raise ValueError(f"{what}: '{name}' is no number")
    if not least <= int(found) <= most:
        raise ValueError(f"{what}: '{name}' is {found}; expected {least} to {most}")
    return int(found)


def items(
    given: Mapping[str, Any], name: str, what: str, length: int | None = None
) -> list[Any] | TypedArray:
    """The array of a field, of `length` where it is given. Raises ValueError."""
    found = given.get(name)
    if not isinstance(found, (list, TypedArray)):
        raise ValueError(f"{what}: '{name}' is no array")
    if length is not None and len(found) != length:
        raise ValueError(f"{what}: '{name}' has {len(found)} entries; expected {length}")
    return found


def whole_numbers(
    given: Mapping[str, Any], name: str, what: str, length: int | None = None
) -> list[int]:
    """The whole numbers of a field, as many as `length` where it is given. Raises ValueError."""
    found = items(given, name, what, length)
    if isinstance(found, TypedArray):
        found = list(struct.unpack(f">{len(found)}{found.form[1]}", found.data))
    if not all(type(each) is int for each in found):
        raise ValueError(f"{what}: '{name}' holds something else than whole numbers")
    return found
