"""What the server's formats ask a model, and what can come of it."""

from __future__ import annotations

from typing import Any

from headrace.errors import HeadraceError
from headrace.serving.engines.base import Finished, Piece, Refused, Started, TokenLogprob


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


Event = Started | Piece | Finished | Refused | ModelFailed
"""What comes of a request for text."""


def event_of(told: list[Any]) -> Event:
    """An event as the worker tells it. Raises ValueError, TypeError for what is none."""
    kind, key, *rest = told
    if kind == "piece":
        index, text, logprobs = rest
        return Piece(
            key,
            index,
            text,
            tuple(
                TokenLogprob(token, value, tuple((t, v) for t, v in top))
                for token, value, top in logprobs
            ),
        )
    if kind == "finished":
        return Finished(key, *rest)
    if kind == "started":
        return Started(key, *rest)
    if kind == "refused":
        return Refused(key, *rest)
    raise ValueError(f"no event: {kind!r}")
