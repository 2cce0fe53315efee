"""What becomes of requests for text, as frames carry it: lists that start with their kind."""

from __future__ import annotations

from typing import Any

from headrace.serving.engines.base import Event, Finished, Piece, Refused, Started, TokenLogprob


def told(event: Event) -> list[Any]:
    """An event as a list."""
    if isinstance(event, Piece):
        logprobs = [[each.text, each.logprob, each.top] for each in event.logprobs]
        return ["piece", event.key, event.index, event.text, logprobs]
    if isinstance(event, Finished):
        return ["finished", event.key, event.index, event.reason, event.tokens]
    if isinstance(event, Started):
        return ["started", event.key, event.prompt_tokens]
    return ["refused", event.key, event.message, event.code]


def event_of(told: list[Any]) -> Event:
    """The event that `told` made a list of. Raises ValueError, TypeError for what is none."""
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
