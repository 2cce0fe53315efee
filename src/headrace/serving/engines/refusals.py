"""What is told of a request whose own failure must not be the others'."""

from __future__ import annotations

import logging
from typing import Final

from headrace.errors import HeadraceError
from headrace.serving.engines.base import Refused
from headrace.serving.engines.raised import RaisedLog, cut, message_of, origin_of, trace_of

raised_log: Final = RaisedLog(logging.getLogger("headrace.serving"))
"""Of this process."""
_LONGEST: Final = 500


def refusal(key: int, error: Exception) -> Refused:
    """Its author is told what was wrong with it; what a library raised goes to the log with its
    traceback, and its first line to the author.
    """
    if isinstance(error, HeadraceError):
        return Refused(key, cut(error.message), error.error_code)
    raised_log.tell("The model raised at one request", origin_of(error), trace_of(error))
    said = f"The model raised {message_of(error)}".partition("\n")[0]
    return Refused(key, said[:_LONGEST], "INTERNAL_ERROR")
