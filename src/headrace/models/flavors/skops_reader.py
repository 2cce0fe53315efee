"""Reading skops files: the same format that skops writes, with a list of our own.

skops' loader goes by a list of types that whoever writes the file, or calls it, may add to; it can
take attributes of what it has loaded, call what `operator` has, and checks names only, not what
they hold. This reader makes what `skops_names` lists, by the kind of node that it may appear in,
and checks the state that compiled code goes by (`skops_checks`). For the rest it says the names
(`unreviewed`), for somebody to decide. The bytes are unpacked and parsed once.

The format is of skops 0.10 to 0.16 (protocols 1 and 2): a zip archive with `schema.json`, a tree
of nodes with `__loader__`, `__module__`, `__class__`, and the arrays beside it as .npy and .npz.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from headrace.errors import InvalidModel
from headrace.models.flavors import skops_arrays, skops_names
from headrace.models.flavors.skops_checks import NeedsTrust, check
from headrace.models.flavors.skops_judges import (
    Node,
    class_of,
    function_of,
    modules_in,
    name_of,
    names_in,
    scalar_of,
    type_of,
)
from headrace.models.flavors.skops_special import is_opaque, loss_from, special_for, tree_from

MAX_UNPACKED: Final = 256 << 20
"""Bytes that any file may unpack to; more only where it is not much more than was packed."""
MAX_RATIO: Final = 20
_PROTOCOLS: Final = (1, 2)


class SkopsFile:
    """A skops file: what it names that is not on the list, and the object in it."""

    def __init__(self, data: bytes, name: str = "the skops file") -> None:
        """Raises InvalidModel for bytes that are no such file, or unpack to too much."""
        self._data = memoryview(data)
        self._name = name
        self._made: dict[int, Any] = {}
        with self._clear_errors():
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            self._entries = {each.filename: each for each in self._archive.infolist()}
            size = sum(each.file_size for each in self._entries.values())
            if size > max(MAX_UNPACKED, MAX_RATIO * len(data)):
                raise ValueError(f"it would unpack to {size} bytes")
            with collecting_later():
                self._schema = json.loads(bytes(self._entry("schema.json")))
                self._unreviewed = self._judged()

    @property
    def unreviewed(self) -> list[str]:
        """The types and functions it names that are not on the list, sorted."""
        return list(self._unreviewed)

    @property
    def modules(self) -> frozenset[str]:
        """The modules that it names."""
        return modules_in(self._schema)

    def _judged(self) -> list[str]:
        if not isinstance(self._schema, dict):
            raise ValueError("its schema is no node")
        protocol = self._schema.get("protocol")
        if protocol not in _PROTOCOLS or isinstance(protocol, bool):
            return [f"protocol {protocol!r} of skops"]
        return sorted(name for name, is_good in names_in(self._schema).items() if not is_good)

    def load(self) -> Any:
        """The object. InvalidModel for a state that cannot be; NeedsTrust for what it may open.

        Nothing that `unreviewed` names is made: a file that names any is an InvalidModel here.
        """
        with self._clear_errors():
            if self._unreviewed:
                raise ValueError(f"it names {self._unreviewed[0]}, which is not reviewed")
            with collecting_later():
                return self._make(self._schema)

    def _clear_errors(self) -> _ClearErrors:
        return _ClearErrors(self._name)

    def _entry(self, name: str) -> memoryview:
        """The bytes of one member; those that are not packed are not copied."""
        info = self._entries[name]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            return memoryview(self._archive.read(info))
        at = info.header_offset
        header = self._data[at : at + 30]
        start = at + 30 + int.from_bytes(header[26:28], "little")
        start += int.from_bytes(header[28:30], "little")
        found = self._data[start : start + info.file_size]
        if bytes(header[:4]) != b"PK\x03\x04" or len(found) != info.file_size:
            raise ValueError(f"its member {name} is cut off")
        return found

    def _make(self, node: Node) -> Any:
        """The object of a node. One that was met before (`__id__`) is the same object again."""
        identity = node.get("__id__")
        if isinstance(identity, int) and identity in self._made:
            return self._made[identity]
        made = _MAKERS[node["__loader__"]](self, node)
        if isinstance(identity, int):
            self._made[identity] = made
        return made

    def _dict(self, node: Node) -> Any:
        found = class_of(node, skops_names.DICTS)()
        kinds = self._make(node["key_types"])
        for kind, (key, value) in zip(kinds, node["content"].items(), strict=True):
            found[_key(kind, key)] = self._make(value)
        return found

    def _default_dict(self, node: Node) -> Any:
        factory = self._make(node["content"]["default_factory"])
        if factory not in (None, OrderedDict, bool, dict, float, int, list, set, str, tuple):
            raise ValueError("the values of a dictionary are made by something unknown")
        return defaultdict(factory, self._make(node["content"]["main"]))

    def _list(self, node: Node) -> list[Any]:
        return [self._make(each) for each in node["content"]]

    def _set(self, node: Node) -> set[Any]:
        return set(self._list(node))

    def _tuple(self, node: Node) -> tuple[Any, ...]:
        return tuple(self._list(node))

    def _json(self, node: Node) -> Any:
        return json.loads(node["content"])

    def _bytes(self, node: Node) -> bytes:
        return bytes(self._entry(node["file"]))

    def _bytearray(self, node: Node) -> bytearray:
        return bytearray(self._entry(node["file"]))

    def _slice(self, node: Node) -> slice:
        parts = [node["content"][name] for name in ("start", "stop", "step")]
        if not all(each is None or isinstance(each, int) for each in parts):
            raise ValueError("a slice is not of numbers")
        return slice(*parts)

    def _array(self, node: Node) -> Any:
        if node["type"] == "json":
            shape = tuple(self._make(node["shape"]))
            return skops_arrays.object_array(self._nested(node["content"], len(shape)), shape)
        found = skops_arrays.array_from(self._entry(node["file"]))
        return found if node["__class__"] == "ndarray" else scalar_of(node, found)

    def _nested(self, nodes: Any, depth: int) -> list[Any]:
        """The items of an array of objects: lists down to its depth, then whatever they are."""
        if depth <= 1:
            return [self._make(each) for each in nodes]
        return [self._nested(each["content"], depth - 1) for each in nodes]

    def _masked(self, node: Node) -> Any:
        import numpy as np

        content = node["content"]
        return np.ma.MaskedArray(self._make(content["data"]), self._make(content["mask"]))

    def _dtype(self, node: Node) -> Any:
        return self._make(node["content"]).dtype

    def _sparse(self, node: Node) -> Any:
        return skops_arrays.sparse_from(self._entry(node["file"]))

    def _random_state(self, node: Node) -> Any:
        return skops_arrays.random_state_from(self._make(node["content"]))

    def _generator(self, node: Node) -> Any:
        content = node["content"]
        seed = self._make(content["seed_seq"]) if "seed_seq" in content else None
        return skops_arrays.generator_from(self._make(content["bit_generator"]), seed)

    def _function(self, node: Node) -> Any:
        return function_of(node)

    def _type(self, node: Node) -> Any:
        return type_of(node)

    def _partial(self, node: Node) -> Any:
        content = node["content"]
        func, args = self._make(content["func"]), self._make(content["args"])
        return functools.partial(func, *args, **self._make(content["kwds"]))

    def _object(self, node: Node) -> Any:
        module, name = name_of(node)
        special = special_for(module, name)
        content = node.get("content")
        if special is not None:
            return special(None if content is None else self._state(content, module, name))
        cls = class_of(node, skops_names.objects())
        made = cls.__new__(cls)
        state = None if content is None else self._make(content)
        if state is not None:
            if not isinstance(state, dict):
                raise ValueError(f"the state of {name} is no dictionary")
            if hasattr(made, "__setstate__"):
                made.__setstate__(state)
            else:
                made.__dict__.update(state)
        check(made)
        return made

    def _state(self, content: Node, module: str, name: str) -> Any:
        """The state of a special class; of an opaque one only its numbers and arrays."""
        if not is_opaque(module, name):
            return self._make(content)
        plain = ("JsonNode", "NdArrayNode")
        parts = content["content"].items()
        return {key: self._make(part) for key, part in parts if part["__loader__"] in plain}

    def _tree(self, node: Node) -> Any:
        args = self._make(node["__reduce__"]["args"])
        return tree_from(args, self._make(node["content"]))

    def _loss(self, node: Node) -> Any:
        module, name = name_of(node)
        return loss_from(module, name, self._make(node["__reduce__"]["args"]))


@contextmanager
def collecting_later() -> Iterator[None]:
    """Put off Python's search for cycles of garbage while very many small objects are made.

    It would go through all of them time and again, which takes as long as making them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _ClearErrors:
    """Turns whatever goes wrong in a file into an InvalidModel that names the file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, (InvalidModel, NeedsTrust)):
            return
        if isinstance(error, Exception):  # of any kind: the file says what is called with what
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else reason
            raise InvalidModel(
                f"'{self._name}' cannot be loaded as a skops file: {reason or repr(error)}."
            ) from error


def _key(kind: Any, text: str) -> Any:
    """The key that was written as `text`: JSON has no other keys."""
    return text == "true" if kind is bool else kind(text)


_MAKERS: Final[dict[str, Callable[[SkopsFile, Node], Any]]] = {
    "BytearrayNode": SkopsFile._bytearray,
    "BytesNode": SkopsFile._bytes,
    "DTypeNode": SkopsFile._dtype,
    "DefaultDictNode": SkopsFile._default_dict,
    "DictNode": SkopsFile._dict,
    "FunctionNode": SkopsFile._function,
    "JsonNode": SkopsFile._json,
    "ListNode": SkopsFile._list,
    "LossNode": SkopsFile._loss,
    "MaskedArrayNode": SkopsFile._masked,
    "NdArrayNode": SkopsFile._array,
    "ObjectNode": SkopsFile._object,
    "PartialNode": SkopsFile._partial,
    "RandomGeneratorNode": SkopsFile._generator,
    "RandomStateNode": SkopsFile._random_state,
    "SetNode": SkopsFile._set,
    "SliceNode": SkopsFile._slice,
    "SparseMatrixNode": SkopsFile._sparse,
    "TreeNode": SkopsFile._tree,
    "TupleNode": SkopsFile._tuple,
    "TypeNode": SkopsFile._type,
}
