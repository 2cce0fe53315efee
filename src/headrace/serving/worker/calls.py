"""What a worker is asked: one internal request, whatever format it came in."""

from __future__ import annotations

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
