"""Errors in the shape of OpenAI's API, from which its clients make their exceptions."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from headrace.errors import HeadraceError, NotFound
from headrace.http.answers import told_of
from headrace.protocol.codec import encode
from headrace.serving.requests import Reply, failure

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_FIELD: Final = re.compile(r"'?([a-z_]+)(?:\[\d+\][.a-z_]*)?'? (?:is|must|has|needs|cannot)\b")
"""How our messages begin that are about one field: 'n' must be …, messages[3].content is …"""


class ModelNotFound(NotFound):
    """The request names a model that is not served here."""

    error_code = "MODEL_NOT_FOUND"


def request_id() -> dict[str, str]:
    """The header by which a request can be spoken of; clients keep it as `_request_id`."""
    return {"x-request-id": f"req-{uuid.uuid4().hex}"}


def openai_error(error: BaseException) -> Reply:
    """An error as a whole answer."""
    known = told_of(error)
    return failure(known, encode(_shaped(known.message, known.code, known.status)), request_id())


def error_in_stream(error: HeadraceError) -> dict[str, Any]:
    """An error as a piece of an answer whose head has left already."""
    return _shaped(error.message, error.error_code, error.http_status)


def _shaped(message: str, code: str, status: int) -> dict[str, Any]:
    is_callers = status < 500
    kind = _TYPES.get(status, "invalid_request_error" if is_callers else "server_error")
    field = _FIELD.match(message) if status == 400 else None
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": field.group(1) if field else None,
            "code": code.lower(),
        }
    }
