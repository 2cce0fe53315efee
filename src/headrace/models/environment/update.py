"""Requirements added to a saved model or taken out of it, and its signature made anew."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.environment.given import pip_part, with_pip_part
from headrace.models.environment.merging import merged, parsed_requirement
from headrace.models.environment.names import CONDA_FILE, REQUIREMENTS_FILE
from headrace.models.environment.requirement_files import hide_credentials, name_of, read_lines

OPERATIONS: Final = ("add", "remove")
_log: Final = logging.getLogger("headrace")


def updated_files(
    read: Callable[[str], bytes | None],
    operation: str,
    requirements: Sequence[str],
    *,
    name: str = "model",
    trust: bool = False,
) -> dict[str, bytes]:
    """The files of a model with requirements added (in the place of those for the same package) or
    removed (whatever the version): requirements.txt, conda.yaml, and the signature over all.

    `read` gives a file of the model, or None. A model that is not signed stays so. Raises
    InvalidModel where a file is not what was signed; NotTrusted where the signer is nobody who is
    trusted, because signing anew would vouch for all of the model, unless with `trust`;
    InvalidRequest for what is no requirement.
    """
    if operation not in OPERATIONS:
        raise InvalidRequest(f"'operation' is {operation!r}; expected 'add' or 'remove'.")
    wanted = _checked(requirements)
    signed = _signed_digests(read, trust)
    written: dict[str, bytes] = {}
    for file, change in ((REQUIREMENTS_FILE, _changed_text), (CONDA_FILE, _changed_conda)):
        data = read(file)
        if data is None:
            continue
        if signed is not None and signed.get(file) != hashlib.sha256(data).hexdigest():
            raise InvalidModel(f"{file} has been changed since the model was signed.")
        written[file] = change(data, operation, wanted)
    if not written:
        raise InvalidRequest(
            f"The model has neither {REQUIREMENTS_FILE} nor {CONDA_FILE}; there is nothing to "
            "change. Is this the model's folder?"
        )
    return {**written, **_signature(name, signed, written)}


def changed(lines: Sequence[str], operation: str, requirements: Sequence[str]) -> list[str]:
    """A list of requirements with some added or removed."""
    by_name = {name_of(line): line for line in requirements}
    if operation == "remove":
        absent = by_name.keys() - {name_of(line) for line in lines}
        for absent_name in sorted(filter(None, absent)):
            _log.warning("'%s' is not among the requirements; nothing to remove.", absent_name)
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


def _changed_text(data: bytes, operation: str, requirements: Sequence[str]) -> bytes:
    lines = _decoded(data, REQUIREMENTS_FILE).splitlines()
    kept = [line.strip() for line in lines if line.strip()]
    return "".join(f"{line}\n" for line in changed(kept, operation, requirements)).encode()


def _changed_conda(data: bytes, operation: str, requirements: Sequence[str]) -> bytes:
    from headrace.protocol.yaml_text import dump_yaml, load_yaml

    try:
        environment: Any = load_yaml(_decoded(data, CONDA_FILE))
    except ValueError as error:
        raise InvalidRequest(f"The model's {CONDA_FILE} is no YAML: {error}.") from None
    if not isinstance(environment, Mapping):
        raise InvalidRequest(f"The model's {CONDA_FILE} is no mapping.")
    lines = changed(pip_part(environment), operation, requirements)
    return dump_yaml(with_pip_part(environment, lines), sort_keys=True).encode()


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"The model's {name} is no text in UTF-8.") from None


def _signed_digests(read: Callable[[str], bytes | None], trust: bool) -> dict[str, str] | None:
    """What the signature says of the model's files; None where it has no signature of ours."""
    from headrace.errors import NotTrusted
    from headrace.models.trust import SIGNATURE_FILE
    from headrace.models.trust.bundle import open_bundle
    from headrace.models.trust.manifest import digests_in
    from headrace.models.trust.signers import is_trusted

    bundle = read(SIGNATURE_FILE)
    if bundle is None:
        return None
    payload, signer = open_bundle(bundle)
    if signer is None:
        raise InvalidRequest(
            f"The model's {SIGNATURE_FILE} is of a kind that is not checked here, and would not "
            "fit the changed files. Copy the model, remove it there, and change the copy."
        )
    if not trust and not is_trusted(signer):
        raise NotTrusted(
            f"The model is signed by {signer.fingerprint}, whom you do not trust; with changed "
            "requirements your signature would stand for all of it. Trust the signer (headrace "
            f"trust add NAME {signer.text}), or say --trust (trust=True) to sign it yourself."
        )
    return digests_in(payload)


def _signature(
    name: str, signed: dict[str, str] | None, written: Mapping[str, bytes]
) -> dict[str, bytes]:
    from headrace.models.trust import SIGNATURE_FILE, signature_over

    if signed is None:
        return {}
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in written.items()}
    bundle = signature_over(name, {**signed, **digests})
    if bundle is None:
        raise InvalidRequest("Without a key of yours the model cannot be signed anew.")
    return {SIGNATURE_FILE: bundle}
