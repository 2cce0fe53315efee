"""Why a call of a model has no answer."""

from __future__ import annotations

from headrace.errors import HeadraceError


class ModelFailed(HeadraceError):
    """The model could not answer, because of the request or of itself.

    `trace` is the traceback in the worker, which only `--debug` shows to callers.
    """

    error_code = "BAD_REQUEST"
    http_status = 400

    def __init__(self, message: str, trace: str | None = None) -> None:
        super().__init__(message)
        self.trace = trace


class DeadlineExceeded(HeadraceError):
    """The model did not answer in time."""

    error_code = "DEADLINE_EXCEEDED"
    http_status = 504
