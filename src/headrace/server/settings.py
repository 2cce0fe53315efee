"""How a server is set up, in one frozen value that travels to every part of it."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.errors import InvalidRequest
from headrace.http.settings import ListenSettings


@dataclass(frozen=True, kw_only=True)
class ServerSettings(ListenSettings):
    """What `headrace server` was told. Raises InvalidRequest for values that cannot work."""

    backend_store_uri: str = "sqlite:///headrace.db"
    artifacts_destination: str = "headrace-artifacts"
    """The folder where artifacts are kept."""
    workers: int = 1
    """Processes that answer; more than one needs PostgreSQL."""
    read_threads: int = 8
    """Reads that the database answers at the same time."""
    max_waiting_reads: int = 1000
    """Reads that may wait for their turn; further ones are answered 429."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.workers <= 256:
            raise InvalidRequest(f"The number of workers is {self.workers}; expected 1 to 256.")
