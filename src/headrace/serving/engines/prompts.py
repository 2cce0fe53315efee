"""What every engine asks of a prompt's tokens."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.errors import InvalidRequest


def check_length(tokens: int, context_length: int | None) -> None:
    """Raise InvalidRequest for a prompt of so many tokens that is empty, or that leaves no room for
    an answer where `context_length` (None: unknown) says how much there is for both.
    """
    if not tokens:
        raise InvalidRequest("The prompt is empty; expected at least one token.")
    if context_length is not None and tokens >= context_length:
        raise InvalidRequest(
            f"The prompt has {tokens} tokens; this model takes {context_length} with the answer. "
            "Shorten it."
        )


def check_tokens(what: str, tokens: Iterable[int], vocabulary: int | None) -> None:
    """Raise InvalidRequest if `what` (as the message names it) has a number that is no token, where
    it is known how many there are.
    """
    wrong = next((t for t in tokens if t < 0 or (vocabulary and t >= vocabulary)), None)
    if wrong is not None:
        raise InvalidRequest(f"{what} has {wrong}, which is no token of this model.")
