"""Dictionaries and lists as JSON or YAML files."""

from __future__ import annotations

import json
from typing import Any

from headrace.errors import InvalidRequest


def dump(document: Any, name: str) -> bytes:
    """`document` in the format that the file's name says; what has no JSON form is its text.

    Raises InvalidRequest for `.yaml` and `.yml` where PyYAML is not installed, and for what
    cannot be written.
    """
    try:
        if name.endswith((".yaml", ".yml")):
            text = _yaml().safe_dump(document, allow_unicode=True, sort_keys=False)
        else:
            text = json.dumps(document, indent=2, default=str)
    except InvalidRequest:
        raise
    # Each library has its own errors for what it cannot write; the reason is in their text.
    except Exception as error:
        raise InvalidRequest(f"Cannot write '{name}': {error}.") from error
    return str(text).encode()


def parse(data: bytes, name: str) -> Any:
    """The document in a file, JSON or YAML by its name. Raises InvalidRequest."""
    try:
        if name.endswith((".yaml", ".yml")):
            return _yaml().safe_load(data)
        return json.loads(data)
    except InvalidRequest:
        raise
    # As above: JSON and YAML differ in what they raise.
    except Exception as error:
        raise InvalidRequest(f"'{name}' cannot be read: {error}.") from error


def _yaml() -> Any:
    try:
        import yaml  # type: ignore[import-untyped]  # PyYAML ships no types
    except ImportError:
        raise InvalidRequest(
            "YAML files need PyYAML, which is not installed: pip install pyyaml, or use a name "
            "that ends in .json."
        ) from None
    return yaml
