"""What a worker is asked: one internal request, whatever format it came in; and how frames carry
it: a list, and the body beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

JSON: Final = "application/json"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
BINARY: Final = "application/octet-stream"
"""Content types of bodies."""

Kind = Literal["invocations", "infer", "embeddings"]
"""In whose format the body is: MLflow's, the Open Inference Protocol's, OpenAI's."""


@dataclass(frozen=True)
class Call:
    """A request for a prediction. What its body means is decided by its kind and content type."""

    kind: Kind
    body: bytes = b""
    content_type: str = JSON
    options: dict[str, Any] = field(default_factory=dict)
    """What the format says outside of the body (a header, a part of the path)."""


def told_call(call: Call) -> list[Any]:
    """A call as a list, without its body."""
    return [call.kind, call.content_type, len(call.body), call.options]


def calls_of(told: Sequence[list[Any]], body: bytes | bytearray) -> list[Call]:
    """The calls that `told_call` made lists of, their bodies together in `body`."""
    found: list[Call] = []
    view = memoryview(body)
    start = 0
    for kind, content_type, size, options in told:
        found.append(Call(kind, bytes(view[start : start + size]), content_type, options))
        start += size
    return found
