"""How a scoring server is set up, in one frozen value that travels to every part of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from headrace.errors import InvalidRequest
from headrace.http.settings import ListenSettings


@dataclass(frozen=True, kw_only=True)
class ServingSettings(ListenSettings):
    """What `headrace models serve` was told. Raises InvalidRequest for values that cannot work."""

    workers: int = 1
    """Processes that predict, for each model version."""
    max_batch: int = 64
    """Requests that are predicted together at most; 1 turns batching off."""
    max_queue: int = 1000
    """Requests of one model that may wait; further ones are answered 429."""
    timeout: float = 60.0
    """Seconds that a prediction may take, its waiting included, and that a stream may stand still.
    """
    load_timeout: float = 600.0
    """Seconds that loading a model may take."""
    memory_limit: int | None = None
    """Bytes that a worker may hold; one that holds more is replaced."""
    engine: str = "auto"
    """What makes text: see `serving.engines`."""
    slots: int = 16
    """Answers that a language model makes at the same time."""
    threads: int | None = None
    """Threads that a worker calculates with; None leaves it to the libraries."""
    poll_interval: float = 2.0
    """Seconds between two looks at which version an alias names."""
    api_key: str | None = None
    """What callers must send as `Authorization: Bearer …`; None asks nobody."""
    debug: bool = False
    """Send the traceback of a model's failure to the caller."""

    @property
    def threads_each(self) -> int | None:
        """Threads of one worker: where there are several, they share the cores."""
        if self.threads is None and self.workers > 1:  # else each would take all cores
            return max(1, (os.cpu_count() or 1) // self.workers)
        return self.threads

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (
            ("workers", 1, 256),
            ("max_batch", 1, 65_536),
            ("max_queue", 1, 10**6),
            ("slots", 1, 4096),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidRequest(f"'{name}' is {value}; expected {least} to {most}.")
        for name in ("timeout", "load_timeout", "poll_interval"):
            if not getattr(self, name) > 0:
                raise InvalidRequest(f"'{name}' must be more than 0 seconds.")
