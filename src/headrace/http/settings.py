"""How a server listens, and what a caller may cost it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.errors import InvalidRequest
from headrace.protocol import limits


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """What every server is told. Raises InvalidRequest for values that cannot work."""

    host: str = "127.0.0.1"
    """The address to bind to."""
    port: int = 5000
    """The port to bind to; 0 takes a free one."""
    public_url: str | None = None
    """The server's address as its clients see it."""
    allowed_hosts: tuple[str, ...] = ()
    """Host headers accepted besides local and private addresses; `*` stands for any text."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of pages that may send requests and read answers, besides local ones and the server's
    own.
    """
    insecure: bool = False
    """Serve beyond this machine though there is nobody to tell apart."""
    max_body_bytes: int = limits.MAX_BODY_BYTES
    """Bytes in the body of one call; artifacts stream and are not bound by this."""
    max_head_bytes: int = 64 * 1024
    """Bytes in the request line and headers together."""
    max_connections: int | None = None
    """Connections that a process may have open; further ones take the place of idle ones, or are
    answered 503. None: half of the files that it may open, 10,000 at most."""
    body_timeout: float = 60.0
    """Seconds that a client may be silent in the middle of a body."""
    keep_alive: int = 75
    """Seconds that an idle connection is kept: training loops log every now and then; and that the
    head of a request may take."""
    shutdown_timeout: int = 30
    """Seconds that calls under way have to finish once the server was told to stop."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise InvalidRequest(f"The port is {self.port}; expected 0 to 65535.")
        if self.max_connections is not None and self.max_connections < 1:
            raise InvalidRequest(
                f"The most connections is {self.max_connections}; expected 1 or more."
            )
        if self.public_url is not None:
            _check_url("the public URL", self.public_url)
        for origin in self.allowed_origins:
            if origin != "*":
                _check_url("an allowed origin", origin)

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def _check_url(what: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(
            f"{what.capitalize()} is {url!r}; expected one like https://runs.example.org."
        )
