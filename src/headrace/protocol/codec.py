"""JSON bytes and query strings to request structs, answer structs to JSON bytes.

Reading is as lenient as protobuf's JSON: unknown fields are ignored, an int64 may be a string,
null means unset, a document that was encoded twice is decoded twice. Writing follows the
rules of `wire`.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qs

import msgspec

from headrace.errors import InvalidRequest
from headrace.protocol.wire import NonFinite

T = TypeVar("T")


def _encode_other(value: Any) -> Any:
    if isinstance(value, NonFinite):
        return value.wire_name
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)


def encode(value: Any) -> bytes:
    """`value` as compact UTF-8 JSON. Raises InvalidRequest for text that is not Unicode."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "A text holds half of a surrogate pair, which UTF-8 cannot write; remove it."
        ) from error


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: broken JSON or a wrong type, broken UTF-8, and nesting without end."""

_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(family: type[T]) -> msgspec.json.Decoder[T]:
    found = _decoders.get(family)
    if found is None:
        found = _decoders[family] = msgspec.json.Decoder(family, strict=False)
    return found


def decode(body: bytes, family: type[T]) -> T:
    """The struct in a JSON body; an empty body is `{}`. Raises InvalidRequest."""
    try:
        return _decoder(family).decode(body or b"{}")
    except _UNREADABLE as error:
        return _decode_leniently(body, family, error)


def decode_with_path(body: bytes, family: type[T], path_values: dict[str, str]) -> T:
    """The struct in a JSON body and in the fields of a path, which win. Raises InvalidRequest."""
    return from_builtins(_document(body or b"{}", None) | path_values, family)


def _decode_leniently(body: bytes, family: type[T], first_error: Exception) -> T:
    return from_builtins(_document(body, first_error), family)


def _document(body: bytes, first_error: Exception | None) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
        if isinstance(document, str):
            document = msgspec.json.decode(document)
        document = _without_nulls(document)
    except _UNREADABLE as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidRequest(
            f"The body must be a JSON object, found {type(document).__name__}."
        ) from first_error
    return document


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value


def from_builtins(document: dict[str, Any], family: type[T]) -> T:
    """The struct that a parsed JSON object stands for. Raises InvalidRequest."""
    try:
        return msgspec.convert(document, family, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_explain(str(error))) from error


def decode_query(query: str, family: type[T], path_values: dict[str, str] | None = None) -> T:
    """The struct in a query string: snake_case names, repeated keys for lists."""
    try:
        pairs = parse_qs(query, keep_blank_values=True, max_num_fields=1000, errors="strict")
    except ValueError as error:
        raise InvalidRequest(f"The query string cannot be read: {error}.") from error
    document: dict[str, Any] = dict(path_values or {})
    for key, values in pairs.items():
        document.setdefault(key, values if key in _list_fields(family) else values[-1])
    return from_builtins(document, family)


def _list_fields(family: type[Any]) -> frozenset[str]:
    found = _list_fields_of.get(family)
    if found is None:
        fields = msgspec.structs.fields(family)
        found = frozenset(field.name for field in fields if get_origin(field.type) is list)
        _list_fields_of[family] = found
    return found


_list_fields_of: dict[type[Any], frozenset[str]] = {}


def _explain(message: str) -> str:
    """Validation messages of msgspec turned into the protocol's."""
    if message.startswith("Object missing required field"):
        name = message.split("`")[1]
        where = message.split(" - at `$.")[1].rstrip("`") + "." if " - at `$" in message else ""
        return f"Missing value for required parameter '{where}{name}'."
    text = message.replace("`", "'").replace(" - at '$.", " at '").replace(" - at '$'", "")
    return f"Invalid value: {text}."
