"""What is told of what a model's code raised: bounded, as the code may say anything in it."""

from __future__ import annotations

import traceback
from typing import Final

_LONGEST_MESSAGE: Final = 2_000
_LONGEST_TRACE: Final = 20_000


def cut(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """A text, of `longest` characters at most: of a longer one its beginning and its end."""
    if len(text) <= longest:
        return text
    left_out = f" [… of {len(text):,} characters …] "
    half = (longest - len(left_out)) // 2
    return text[:half] + left_out + text[-half:]


def message_of(error: BaseException | None) -> str:
    """The class of an error, and what it says."""
    text = str(error)
    return cut(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def trace_of(error: BaseException) -> str:
    """Where an error comes from, for the log."""
    return cut("".join(traceback.format_exception(error)), _LONGEST_TRACE)
