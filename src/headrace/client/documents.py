"""Dictionaries and lists as JSON or YAML files."""

from __future__ import annotations

import json
from typing import Any

from headrace.errors import InvalidRequest
from headrace.protocol.yaml_text import dump_yaml, load_yaml


def dump(document: Any, name: str) -> bytes:
    """`document` in the format that the file's name says; what has no JSON form is its text.

    Raises InvalidRequest for what cannot be written.
    """
    try:
        if name.endswith((".yaml", ".yml")):
            text = dump_yaml(document)
        else:
            text = json.dumps(document, indent=2, default=str)
    # Each library has its own errors for what it cannot write; the reason is in their text.
    except Exception as error:
        raise InvalidRequest(f"Cannot write '{name}': {error}.") from error
    return str(text).encode()


def parse(data: bytes, name: str) -> Any:
    """The document in a file, JSON or YAML by its name. Raises InvalidRequest."""
    try:
        if name.endswith((".yaml", ".yml")):
            return load_yaml(data.decode())
        return json.loads(data)
    # As above: JSON and YAML differ in what they raise.
    except Exception as error:
        raise InvalidRequest(f"'{name}' cannot be read: {error}.") from error
