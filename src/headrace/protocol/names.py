"""What may be a name, a key, an id, a text: the checks behind every request struct.

Each function raises InvalidRequest with the field, what was found and what was expected.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache

from headrace.errors import InvalidRequest
from headrace.protocol import limits
from headrace.protocol.wire import Param, Tag

_KEY = re.compile(r"[/\w.\- :]+")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}", re.ASCII)
_ALIAS = re.compile(r"[\w\-]+")
_VERSION_LIKE = re.compile(r"[vV]\d+")
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_LOGGED_MODEL_ID = re.compile(r"m-[0-9a-zA-Z]{32}")
_LOGGED_MODEL_FORBIDDEN = re.compile(r"[/:.%\"']")


def check_required(field: str, value: object) -> None:
    """Refuse a missing or empty required field, and text that no database can hold."""
    if value is None or value == "":
        raise InvalidRequest(f"Missing value for required parameter '{field}'.")
    if isinstance(value, str):
        _check_storable(field, value)


def _check_storable(field: str, text: str) -> None:
    if text.isascii():
        if "\x00" not in text:
            return
    elif not _NUL_OR_SURROGATE.search(text):
        return
    what = "a NUL character" if "\x00" in text else "half of a surrogate pair"
    raise InvalidRequest(
        f"The value of '{field}' holds {what}, which no stored text can hold; remove it."
    )


def check_text(field: str, value: str | None, limit: int) -> None:
    """Refuse text that is longer than `limit` characters, or that no database can hold."""
    if value is None:
        return
    if len(value) > limit:
        raise InvalidRequest(
            f"The value of '{field}' has {len(value)} characters; at most {limit} are allowed."
        )
    _check_storable(field, value)


def is_key(key: str) -> bool:
    """Whether a text can be the key of a metric, parameter or tag."""
    return _key_problem(key) is None


def check_key(field: str, key: str) -> None:
    """Refuse what cannot be the key of a metric, parameter or tag."""
    problem = _key_problem(key)
    if problem:
        shown = key if len(key) <= 60 else key[:57] + "..."
        raise InvalidRequest(f"Invalid value {shown!r} for '{field}': {problem}")


@lru_cache(maxsize=8192)
def _key_problem(key: str) -> str | None:
    if not key:
        return "a key is needed, this one is empty."
    if len(key) > limits.MAX_KEY_LENGTH:
        return f"it has {len(key)} characters; at most {limits.MAX_KEY_LENGTH} are allowed."
    if not _KEY.fullmatch(key) or key.endswith("\n"):
        return (
            "keys may hold letters, digits, underscores (_), dashes (-), periods (.), "
            "spaces, colons (:) and slashes (/)."
        )
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        return "a key must read like a clean relative path: no '..', '//', leading or trailing '/'."
    return None


def check_tags(tags: Iterable[Tag], field: str = "tags") -> None:
    """Refuse a list of tags in which one is not valid."""
    for i, tag in enumerate(tags):
        check_key(f"{field}[{i}].key", tag.key)
        check_text(f"{field}[{i}].value", tag.value, limits.MAX_VALUE_LENGTH)


def check_params(params: Iterable[Param], field: str = "params") -> None:
    """Refuse a list of parameters in which one is not valid, or one key appears twice."""
    seen: set[str] = set()
    for i, param in enumerate(params):
        check_key(f"{field}[{i}].key", param.key)
        check_text(f"{field}[{i}].value", param.value, limits.MAX_VALUE_LENGTH)
        if param.key in seen:
            raise InvalidRequest(
                f"Duplicate key {param.key!r} in '{field}': a parameter is written once; "
                "send each key once."
            )
        seen.add(param.key)


def check_run_id(field: str, run_id: str | None) -> None:
    """Refuse what cannot be a run's id (32 hexadecimal digits, or a plain word)."""
    check_required(field, run_id)
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise InvalidRequest(
            f"Invalid value {run_id[:60]!r} for '{field}': expected a run id, letters, digits, "
            "'_' and '-' only."
        )


def check_experiment_id(field: str, experiment_id: str | None) -> int:
    """The number behind an experiment's id, which is a decimal integer as a string."""
    check_required(field, experiment_id)
    text = str(experiment_id)
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
        raise InvalidRequest(
            f"Invalid value {text[:60]!r} for '{field}': expected an experiment id, "
            "a whole number such as '0'."
        )
    return int(text)


def check_experiment_name(field: str, name: str) -> None:
    """Refuse what cannot be an experiment's name."""
    check_required(field, name)
    check_text(field, name, limits.MAX_EXPERIMENT_NAME_LENGTH)


def check_model_name(field: str, name: str) -> None:
    """Refuse what cannot be a registered model's name: blank, with '/' or ':', or not clean."""
    check_required(field, name)
    check_text(field, name, limits.MAX_MODEL_NAME_LENGTH)
    if not name.strip() or "/" in name or ":" in name or name in (".", ".."):
        raise InvalidRequest(
            f"Invalid value {name!r} for '{field}': a registered model's name may not be blank, "
            "'.' or '..', nor hold '/' or ':'."
        )


def check_model_version(field: str, version: str) -> int:
    """The number behind a model version, which is a positive decimal integer as a string."""
    check_required(field, version)
    text = str(version)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise InvalidRequest(
            f"Invalid value {text[:60]!r} for '{field}': expected a model version, "
            "a whole number such as '1'."
        )
    return int(text)


def check_alias(field: str, alias: str) -> None:
    """Refuse what cannot be an alias: 'latest', 'v3' and the like, other than word characters."""
    check_required(field, alias)
    check_text(field, alias, limits.MAX_ALIAS_LENGTH)
    if not _ALIAS.fullmatch(alias):
        raise InvalidRequest(
            f"Invalid value {alias!r} for '{field}': an alias holds letters, digits, '_' and '-'."
        )
    if alias.lower() == "latest" or _VERSION_LIKE.fullmatch(alias):
        raise InvalidRequest(
            f"Invalid value {alias!r} for '{field}': 'latest' and names like 'v1' are reserved."
        )


def check_logged_model_name(field: str, name: str) -> None:
    """Refuse what cannot be a logged model's name."""
    check_required(field, name)
    check_text(field, name, limits.MAX_KEY_LENGTH)
    if _LOGGED_MODEL_FORBIDDEN.search(name):
        raise InvalidRequest(
            f"Invalid value {name!r} for '{field}': a model's name may not hold "
            "'/', ':', '.', '%', '\"' or \"'\"."
        )


def check_logged_model_id(field: str, model_id: str) -> None:
    """Refuse what `models:/m-…` could not name: 'm-' and 32 letters or digits are expected."""
    if not _LOGGED_MODEL_ID.fullmatch(model_id):
        raise InvalidRequest(
            f"Invalid value {model_id[:60]!r} for '{field}': expected 'm-' and 32 letters or "
            "digits."
        )


def check_time(field: str, milliseconds: int | None) -> None:
    """Refuse a time that is not between 1970 and the year 9999, in milliseconds since 1970."""
    if milliseconds is not None and not 0 <= milliseconds <= limits.MAX_TIME_MS:
        raise InvalidRequest(
            f"Invalid value {milliseconds} for '{field}': expected milliseconds since 1970, from "
            f"0 to {limits.MAX_TIME_MS}."
        )


def check_page_size(field: str, size: int | None, limit: int) -> None:
    """Refuse a page size outside 1 … `limit`."""
    if size is not None and not 1 <= size <= limit:
        raise InvalidRequest(
            f"Invalid value {size} for '{field}': expected a number from 1 to {limit}."
        )
