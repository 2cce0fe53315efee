"""Every error that Headrace raises on purpose, as one tree.

    HeadraceError                 INTERNAL_ERROR            500
    ├── InvalidRequest            INVALID_PARAMETER_VALUE   400
    │   ├── FilterSyntaxError     INVALID_PARAMETER_VALUE   400
    │   ├── InvalidModel          INVALID_PARAMETER_VALUE   400
    │   ├── UnsatisfiableRange    INVALID_PARAMETER_VALUE   416
    │   └── PayloadTooLarge       INVALID_PARAMETER_VALUE   413
    ├── Unauthenticated           UNAUTHENTICATED           401
    ├── PermissionDenied          PERMISSION_DENIED         403
    │   └── NotTrusted            PERMISSION_DENIED         403
    ├── NotFound                  RESOURCE_DOES_NOT_EXIST   404
    │   └── EndpointNotFound      ENDPOINT_NOT_FOUND        404
    ├── MethodNotAllowed          BAD_REQUEST               405
    ├── ModelValidationFailed     BAD_REQUEST               400
    ├── AlreadyExists             RESOURCE_ALREADY_EXISTS   400
    ├── InvalidState              INVALID_STATE             409
    ├── TooManyRequests           REQUEST_LIMIT_EXCEEDED    429
    └── Unavailable               TEMPORARILY_UNAVAILABLE   503

The codes are those of MLflow's REST protocol; the statuses are what its clients map them to,
except INVALID_STATE: there it is a 500, which the client retries for four minutes though the
answer cannot change. `error_from_code` turns an answer back into the same exception, so that
the SDK raises over HTTP what it raises on a database.
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Base of all errors raised on purpose; `message` is written for the person who caused it."""

    error_code = "INTERNAL_ERROR"
    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def get_http_status_code(self) -> int:
        """The HTTP status this error answers with (MLflow's name for it)."""
        return self.http_status

    def serialize_as_json(self) -> str:
        """The code and the message as a server answers them (MLflow's name for it)."""
        import json

        return json.dumps({"error_code": self.error_code, "message": self.message})


class InvalidRequest(HeadraceError):
    """A value is missing, malformed or out of bounds; names the field and what was expected."""

    error_code = "INVALID_PARAMETER_VALUE"
    http_status = 400


class FilterSyntaxError(InvalidRequest):
    """A filter or order_by text is wrong at `position` (0-based offset into `text`)."""

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        super().__init__(_point_at(message, text, position) if text else message)
        self.text = text
        self.position = position


class InvalidModel(InvalidRequest):
    """A model's folder is not what was saved: a byte, a file or its signature is wrong."""


class UnsatisfiableRange(InvalidRequest):
    """A Range header asks for bytes that the file does not have; it has `size`."""

    http_status = 416

    def __init__(self, message: str, size: int | None = None) -> None:
        super().__init__(message)
        self.size = size


class PayloadTooLarge(InvalidRequest):
    """A body or header is larger than the server takes."""

    http_status = 413


class Unauthenticated(HeadraceError):
    """No credentials, or wrong ones."""

    error_code = "UNAUTHENTICATED"
    http_status = 401


class PermissionDenied(HeadraceError):
    """The caller is known, but may not do this."""

    error_code = "PERMISSION_DENIED"
    http_status = 403


class NotTrusted(PermissionDenied):
    """Loading a model would run code, and nobody whom the caller trusts has signed it."""


class NotFound(HeadraceError):
    """The named thing does not exist (or was deleted)."""

    error_code = "RESOURCE_DOES_NOT_EXIST"
    http_status = 404


class EndpointNotFound(NotFound):
    """No such path on this server."""

    error_code = "ENDPOINT_NOT_FOUND"


class MethodNotAllowed(HeadraceError):
    """The path exists, but only with the HTTP methods in `allowed`."""

    error_code = "BAD_REQUEST"
    http_status = 405

    def __init__(self, message: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class ModelValidationFailed(HeadraceError):
    """A model's metrics are not what was asked for; names each, its value and its bound."""

    error_code = "BAD_REQUEST"
    http_status = 400


class AlreadyExists(HeadraceError):
    """Something with this name is there already."""

    error_code = "RESOURCE_ALREADY_EXISTS"
    http_status = 400


class InvalidState(HeadraceError):
    """The thing exists, but is in a state that does not allow this."""

    error_code = "INVALID_STATE"
    http_status = 409


class TooManyRequests(HeadraceError):
    """The server is at its limit; try again, after `retry_after` seconds where it says so."""

    error_code = "REQUEST_LIMIT_EXCEEDED"
    http_status = 429

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(HeadraceError):
    """The server cannot do it now (disk full, database gone); the same call may work later."""

    error_code = "TEMPORARILY_UNAVAILABLE"
    http_status = 503


def is_servers_fault(error: HeadraceError) -> bool:
    """Whether the server cannot answer now, rather than that it has answered no.

    It is away, busy or broken, or something else answers in its place.
    """
    if isinstance(error, Unavailable | TooManyRequests | EndpointNotFound):
        return True
    return type(error) is HeadraceError


def error_from_code(code: str, message: str, http_status: int) -> HeadraceError:
    """The exception that an answer with this error code and status stands for."""
    family = _BY_CODE.get(code) or _BY_STATUS.get(http_status, HeadraceError)
    error = family(message)
    error.error_code = code or family.error_code
    error.http_status = http_status
    return error


_SHOWN_AROUND = 100


def _point_at(message: str, text: str, position: int) -> str:
    start = max(text.rfind("\n", 0, position) + 1, position - _SHOWN_AROUND)
    line = text[start : position + _SHOWN_AROUND].split("\n", 1)[0]
    # What cannot be shown (NUL, half a surrogate pair: no JSON can hold it) keeps its column.
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return f"{message}\n  {shown}\n  {' ' * (position - start)}^"


_FAMILIES: tuple[type[HeadraceError], ...] = (
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    EndpointNotFound,
    AlreadyExists,
    InvalidState,
    TooManyRequests,
    Unavailable,
)
_BY_CODE: dict[str, type[HeadraceError]] = {
    **{family.error_code: family for family in _FAMILIES},
    "RESOURCE_CONFLICT": InvalidState,
    "BAD_REQUEST": InvalidRequest,
}

_BY_STATUS: dict[int, type[HeadraceError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    416: UnsatisfiableRange,
    429: TooManyRequests,
    503: Unavailable,
}
