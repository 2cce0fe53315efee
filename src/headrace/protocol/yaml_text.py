"""YAML that comes from elsewhere: plain values only, and none that takes the process with it."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 50
"""Levels of lists and mappings; what people and programs write has a handful."""
MAX_ALIASES: Final = 1_000
"""References to a value above; each may stand for many, and those for many more."""


def load_yaml(text: str) -> Any:
    """The document in `text`, made of plain values. Raises ValueError with what is wrong."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # LibYAML's loader would run out of stack, and take the process with it, where lists lie
        # in lists a hundred thousand deep; its parser does not.
        _check(yaml, text, loader)
        return yaml.load(text, Loader=loader)  # noqa: S506 - one of the two safe loaders
    except yaml.YAMLError as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    except RecursionError:
        raise ValueError("it refers to itself") from None


def dump_yaml(document: Any, *, sort_keys: bool = False) -> str:
    """`document` as YAML that any reader loads. Raises ValueError for what is no plain value."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    try:
        text = yaml.dump(document, Dumper=dumper, allow_unicode=True, sort_keys=sort_keys)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return str(text)


def _check(yaml: Any, text: str, loader: Any) -> None:
    depth = aliases = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.events.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is more than {MAX_DEPTH} levels deep")
        if aliases > MAX_ALIASES:
            raise ValueError(f"it has more than {MAX_ALIASES} references to other values in it")
