"""Skops files that are not what they seem, for tests: taken apart, changed, put together again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import skops.io


def parts_of(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The schema of a skops file, and the files beside it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("schema.json")), files


def packed(schema: Any, files: dict[str, bytes] | None = None, method: int = 0) -> bytes:
    """A skops file of a schema and files; `method` is zipfile's."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression=method) as archive:
        for name, content in (files or {}).items():
            archive.writestr(name, content)
        archive.writestr("schema.json", json.dumps(schema))
    return made.getvalue()


def nodes(content: Any) -> Iterator[dict[str, Any]]:
    """All nodes of a schema, from the outside in."""
    if isinstance(content, dict):
        if "__loader__" in content:
            yield content
        for each in content.values():
            yield from nodes(each)
    elif isinstance(content, list):
        for each in content:
            yield from nodes(each)


def node_of(schema: Any, name: str) -> dict[str, Any]:
    """The first node of a class."""
    return next(each for each in nodes(schema) if each["__class__"] == name)


def edited(model: Any, edit: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    """The skops file of a model, after `edit` has changed its schema or files."""
    schema, files = parts_of(skops.io.dumps(model))
    edit(schema, files)
    return packed(schema, files)


def with_array(
    model: Any, owner: str, attribute: str, change: Callable[[Any], Any], *, of: int = 0
) -> bytes:
    """The skops file of a model, after an array in the state of a class was changed."""

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        holders = [each for each in nodes(schema) if each["__class__"] == owner]
        name = holders[of]["content"]["content"][attribute]["file"]
        array = np.load(io.BytesIO(files[name]))
        changed = io.BytesIO()
        np.save(changed, change(array), allow_pickle=False)
        files[name] = changed.getvalue()

    return edited(model, edit)


def with_value(model: Any, owner: str, attribute: str, value: Any) -> bytes:
    """The skops file of a model, after a plain value in the state of a class was changed."""

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        state = node_of(schema, owner)["content"]["content"]
        state[attribute] = json_node(value)

    return edited(model, edit)


def json_node(value: Any) -> dict[str, Any]:
    """A node for a plain value."""
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def list_node(*items: dict[str, Any], kind: str = "list") -> dict[str, Any]:
    """A node for a list, or for a tuple or a set."""
    loader = f"{kind.capitalize()}Node"
    return {
        "__class__": kind,
        "__module__": "builtins",
        "__loader__": loader,
        "content": list(items),
    }


def dict_node(**items: dict[str, Any]) -> dict[str, Any]:
    """A node for a dictionary."""
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}
    return {
        "__class__": "dict",
        "__module__": "builtins",
        "__loader__": "DictNode",
        "key_types": list_node(*[text for _ in items]),
        "content": dict(items),
    }


def named_node(loader: str, module: str, name: str, **more: Any) -> dict[str, Any]:
    """A node of a kind that names a type or function."""
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def alone(node: dict[str, Any], protocol: Any = 2) -> bytes:
    """A skops file of one node."""
    return packed({**node, "protocol": protocol, "_skops_version": "0.16.0"})
