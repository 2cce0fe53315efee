"""Requirements added to a saved model or taken out of it, and its signature made anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.environment.given import pip_part, with_pip_part
from headrace.models.environment.merging import merged, parsed_requirement
from headrace.models.environment.names import CONDA_FILE, REQUIREMENTS_FILE
from headrace.models.environment.requirement_files import hide_credentials, name_of, read_lines
from headrace.models.trust.changes import Reads, changed_files

OPERATIONS: Final = ("add", "remove")
_log: Final = logging.getLogger("headrace")


def updated_files(
    read: Reads,
    operation: str,
    requirements: Sequence[str],
    *,
    name: str = "model",
    trust: bool = False,
) -> dict[str, bytes]:
    """The files of a model with requirements added (in the place of those for the same package) or
    removed (whatever the version): requirements.txt, conda.yaml, and the signature over all.

    Errors as of `changed_files`; InvalidRequest for what is no requirement.
    """
    if operation not in OPERATIONS:
        raise InvalidRequest(f"'operation' is {operation!r}; expected 'add' or 'remove'.")
    wanted = _checked(requirements)
    had: set[str | None] = set()
    changes = {
        REQUIREMENTS_FILE: lambda data: _changed_text(data, operation, wanted, had),
        CONDA_FILE: lambda data: _changed_conda(data, operation, wanted, had),
    }
    written = changed_files(read, changes, name=name, trust=trust)
    if not written:
        raise InvalidRequest(
            f"The model has neither {REQUIREMENTS_FILE} nor {CONDA_FILE}; there is nothing to "
            "change. Is this the model's folder?"
        )
    absent = {name_of(line) for line in wanted} - had if operation == "remove" else set()
    for absent_name in sorted(filter(None, absent)):
        _log.warning("'%s' is not among the requirements; nothing to remove.", absent_name)
    return written


def changed(lines: Sequence[str], operation: str, requirements: Sequence[str]) -> list[str]:
    """A list of requirements with some added or removed."""
    by_name = {name_of(line): line for line in requirements}
    if operation == "remove":
        return [line for line in lines if name_of(line) not in by_name or name_of(line) is None]
    kept: list[str] = []
    for line in lines:
        name = name_of(line)
        new = by_name.pop(name, None) if name else None
        kept.append(new or line)
    # What the model did not need before goes to the others, before a reference to constraints.
    place = next((i for i, line in enumerate(kept) if line.startswith("-c")), len(kept))
    return [*kept[:place], *by_name.values(), *kept[place:]]


def _checked(requirements: Sequence[str]) -> list[str]:
    lines = [line.strip() for line in requirements if line.strip()]
    if not lines:
        raise InvalidRequest("No requirements are given; expected such as numpy==2.1.0.")
    for line in read_lines(lines, Path.cwd()).requirements:
        if parsed_requirement(line) is None:
            raise InvalidRequest(
                f"'{hide_credentials(line)}' is no requirement of a package by its name; expected "
                "such as numpy==2.1.0."
            )
    return merged(lines)


def _changed_text(
    data: bytes, operation: str, requirements: Sequence[str], had: set[str | None]
) -> bytes:
    lines = _decoded(data, REQUIREMENTS_FILE).splitlines()
    kept = [line.strip() for line in lines if line.strip()]
    had.update(map(name_of, kept))
    return "".join(f"{line}\n" for line in changed(kept, operation, requirements)).encode()


def _changed_conda(
    data: bytes, operation: str, requirements: Sequence[str], had: set[str | None]
) -> bytes:
    from headrace.protocol.yaml_text import dump_yaml, load_yaml

    try:
        environment: Any = load_yaml(_decoded(data, CONDA_FILE))
    except ValueError as error:
        raise InvalidRequest(f"The model's {CONDA_FILE} is no YAML: {error}.") from None
    if not isinstance(environment, Mapping):
        raise InvalidRequest(f"The model's {CONDA_FILE} is no mapping.")
    before = pip_part(environment)
    had.update(map(name_of, before))
    lines = changed(before, operation, requirements)
    return dump_yaml(with_pip_part(environment, lines), sort_keys=True).encode()


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"The model's {name} is no text in UTF-8.") from None
