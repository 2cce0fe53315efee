"""Answers as ASGI messages, and errors as answers: the one place that knows both.

Every JSON answer carries the same headers, so its list of headers is made with one concatenation.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from headrace.errors import (
    EndpointNotFound,
    HeadraceError,
    InvalidRequest,
    MethodNotAllowed,
    TooManyRequests,
    Unauthenticated,
    UnsatisfiableRange,
)
from headrace.protocol.codec import encode
from headrace.protocol.wire import Answer

Headers = list[tuple[bytes, bytes]]
Message = dict[str, Any]

log = logging.getLogger("headrace.server")

SAFE_HEADERS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
]
"""On every answer: no guessing of types, no frames of other sites."""

_JSON: Final[Headers] = [(b"content-type", b"application/json"), *SAFE_HEADERS]

EMPTY_START: Final[Message] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [*_JSON, (b"content-length", b"2")],
}
EMPTY_BODY: Final[Message] = {"type": "http.response.body", "body": b"{}"}
"""The answer `{}`, which is what most writes get."""


MAX_MESSAGE: Final = 2000
"""Characters of an error's message."""


class ErrorBody(Answer):
    """An error as clients read it."""

    error_code: str
    message: str


def json_start(status: int, length: int, extra: Headers | None = None) -> Message:
    """The head of a JSON answer with `length` bytes."""
    headers = [*_JSON, (b"content-length", b"%d" % length)]
    if extra:
        headers += extra
    return {"type": "http.response.start", "status": status, "headers": headers}


def body_of(body: bytes) -> Message:
    """The whole body of an answer."""
    return {"type": "http.response.body", "body": body}


class Told(NamedTuple):
    """What callers may know of an error, in whatever shape they read it."""

    status: int
    code: str
    message: str
    headers: Headers
    """Those of its own: when to try again, how to say who one is."""


def error_answer(error: BaseException) -> tuple[Message, Message]:
    """Head and body of the answer that tells `error`, as `told_of` has it."""
    status, code, message, headers = told_of(error)
    body = encode(ErrorBody(code, message))
    return json_start(status, len(body), headers), body_of(body)


def told_of(error: BaseException) -> Told:
    """What callers are told of `error`.

    What was not raised on purpose becomes a 500 that says nothing of the inside, with a number
    that stands in the log beside the traceback.
    """
    if not isinstance(error, HeadraceError):
        error = _unexpected(error)
    elif error.http_status >= 500:
        log.warning("%s: %s", error.error_code, error.message)
    message = _bounded(error.message)
    return Told(error.http_status, error.error_code, message, _extra_headers(error))


def method_not_allowed(method: str, path: str, allowed: Iterable[str]) -> MethodNotAllowed:
    """The error for a path that is there, but not with this method."""
    names = tuple(sorted(allowed))
    return MethodNotAllowed(
        f"{shown(path)} does not take {method[:20]}; it takes {', '.join(names)}.", names
    )


def not_served(method: str, path: str) -> EndpointNotFound:
    """The error for a path that is not there: said once, so that clients do not try again."""
    return EndpointNotFound(
        f"Headrace does not serve {method[:20]} {shown(path)}. What it serves stands in "
        "/openapi.json."
    )


def body_stopped(length: int, seconds: float) -> InvalidRequest:
    """The error for a body of which nothing came for `seconds`, after `length` bytes."""
    return InvalidRequest(f"The body stopped after {length} bytes for {seconds:g} seconds.")


def shown(path: str) -> str:
    """A path as it may stand in a message: not endless, nothing unprintable."""
    text = path if len(path) <= 200 else path[:197] + "..."
    return text if text.isprintable() else ascii(text)


def _bounded(message: str) -> str:
    """A message that names an endless value says how it begins, and what was expected instead;
    half characters, which no answer can have, are question marks.
    """
    message = message.encode(errors="replace").decode()
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2 - 3
    return f"{message[:half]} ... {message[-half:]}"


def _unexpected(error: BaseException) -> HeadraceError:
    number = secrets.token_hex(4)
    log.error("unexpected error %s", number, exc_info=error)
    return HeadraceError(
        f"The server met an unexpected error. It is number {number} in the server's log."
    )


def _extra_headers(error: HeadraceError) -> Headers:
    if isinstance(error, Unauthenticated):
        return [(b"www-authenticate", b'Basic realm="Headrace", charset="UTF-8"')]
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if isinstance(error, TooManyRequests) and error.retry_after:
        return [(b"retry-after", b"%d" % error.retry_after)]
    if isinstance(error, UnsatisfiableRange) and error.size is not None:
        return [(b"content-range", b"bytes */%d" % error.size)]
    return []
