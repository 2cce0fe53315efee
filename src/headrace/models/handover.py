"""A model that one process has opened and checked, loaded by another that may have less installed.

What serves a model reads its signature and its YAML, with the packages that Headrace comes with.
The worker that loads it runs in the model's own environment, where these may be absent, or of
versions that Headrace cannot use. So the first hands over, as plain JSON, what it has read: the
model's description, the digest of every signed file, and whether code may run. The worker needs
Python's standard library and the model's own packages; it reads neither `MLmodel` nor `model.sig`,
and checks each file that it loads against the digest that it was told.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.artifacts.tree import Tree
from headrace.errors import InvalidModel
from headrace.models.loading import load_opened, open_model
from headrace.models.model import Model
from headrace.models.trust import VerifiedFolder
from headrace.models.trust.keys import parse_public_key

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel

_KIND: Final = "$"
"""Stands for what JSON has no form for: {"$": kind, "of": text or list}."""
_MOST: Final = 1_000_000
"""Values in a description; YAML can refer to one value many times, and JSON writes each."""
_DEPTH: Final = 100


def hand_over(path: Path, *, trust: bool = False) -> dict[str, Any]:
    """What a worker must know to load the model in a folder: texts, numbers, tables and lists.

    All signed files have been read and are right. Raises NotFound, and InvalidModel, as
    `load_model`; not NotTrusted, which loading raises. `trust` is the caller's word that all of it
    may run.
    """
    folder, model = open_model(path, trust=trust)
    try:
        description = _Plain().of(model.to_dict())
    except ValueError as error:
        raise InvalidModel(f"The MLmodel file of the model in '{path}' {error}.") from None
    return {
        "path": str(folder.path),
        "model": description,
        "digests": None if folder.digests is None else dict(folder.digests),
        "signer": folder.signer_key.text if folder.signer_key else None,
        "is_trusted": folder.is_trusted,
        "is_vouched_for": folder.is_vouched_for,
        "is_foreign": folder.is_foreign,
    }


def take_over(handed: Mapping[str, Any]) -> tuple[VerifiedFolder, Model]:
    """The folder and the description that `hand_over` told of, without reading any file."""
    signer = handed["signer"]
    folder = VerifiedFolder(
        Tree(Path(handed["path"]), only_read=True),
        handed["digests"],
        None if signer is None else parse_public_key(signer),
        is_trusted=handed["is_trusted"],
        is_vouched_for=handed["is_vouched_for"],
        is_foreign=handed["is_foreign"],
    )
    return folder, Model.from_dict(_restored(handed["model"]))


def load_handed(
    handed: Mapping[str, Any], model_config: Mapping[str, Any] | None = None, **options: Any
) -> PyFuncModel:
    """As `load_pyfunc`, of what was handed over. Raises what that raises, NotTrusted included."""
    folder, model = take_over(handed)
    return load_opened(folder, model, model_config, **options)


class _Plain:
    """Turns a document of YAML into values that JSON has. ValueError says what is wrong with it."""

    def __init__(self) -> None:
        self._values = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        """`value`, or what stands for it."""
        self._values += 1
        if self._values > _MOST or depth > _DEPTH:
            raise ValueError("refers to its own values too often to be written out")
        if isinstance(value, Mapping):
            if _KIND not in value and all(isinstance(key, str) for key in value):
                return {key: self.of(each, depth + 1) for key, each in value.items()}
            return _tagged("table", [self.of(pair, depth + 1) for pair in value.items()])
        if isinstance(value, list | tuple):
            return [self.of(each, depth + 1) for each in value]
        if isinstance(value, set | frozenset):
            return _tagged("set", [self.of(each, depth + 1) for each in value])
        return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _tagged("float", str(value))
    if isinstance(value, bytes):
        return _tagged("bytes", base64.b64encode(value).decode())
    if isinstance(value, dt.datetime):
        return _tagged("datetime", value.isoformat())
    if isinstance(value, dt.date):
        return _tagged("date", value.isoformat())
    raise ValueError(f"has a value of the type {type(value).__name__}")


def _tagged(kind: str, of: Any) -> dict[str, Any]:
    return {_KIND: kind, "of": of}


_RESTORED: Final[dict[str, Callable[[Any], Any]]] = {
    "table": lambda pairs: {_key(_restored(key)): _restored(value) for key, value in pairs},
    "set": lambda values: {_key(_restored(each)) for each in values},
    "float": float,
    "bytes": base64.b64decode,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
}


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _KIND in value:
        return _RESTORED[value[_KIND]](value["of"])
    return {key: _restored(each) for key, each in value.items()}


def _key(value: Any) -> Any:
    """A value as a key: YAML makes tuples of lists there."""
    return tuple(map(_key, value)) if isinstance(value, list) else value
