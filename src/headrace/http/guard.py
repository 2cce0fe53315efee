"""Is this request meant for us? The checks that keep web pages from using somebody's server.

A page from anywhere can make a browser send requests to `localhost` or to a machine in the local
network. Two headers that a page cannot forge tell: Host, which names what the browser believes it
talks to (a name that an attacker pointed at our address is not one of ours), and Origin, which
names the page. So Host must be local, private or allowed, and a change with an Origin must come
from the server's own pages, a local page or an allowed one. Programs are not bound by this: they
send no Origin, and who they are is the business of `auth`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Final
from urllib.parse import urlsplit

from headrace.errors import InvalidRequest, PermissionDenied
from headrace.http.answers import Headers, Message, body_of
from headrace.http.settings import ListenSettings

WITH_CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
"""A page may let the browser say who its user is."""
ALL_HEADERS: Final = (b"access-control-expose-headers", b"*")
"""A page may read all headers of an answer; not to be said with credentials."""
OPEN_PATHS: Final = frozenset({"/health", "/version"})
"""Paths that answer under any Host and to anybody: what load balancers ask."""

_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - a Host
_MAX_KNOWN: Final = 1024
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]+)(?::(\d{1,5})?)?", re.ASCII)
"""A name or an address, and a port (RFC 3986, section 3.2.2)."""
_ADDRESS: Final = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


class HostGuard:
    """Decides about Host and Origin headers. Decisions are remembered: the same few come again."""

    def __init__(self, settings: ListenSettings) -> None:
        names = [*settings.allowed_hosts, settings.host.strip("[]")]
        if settings.public_url:
            names.append(urlsplit(settings.public_url).netloc.rpartition("@")[2])
        self._hosts = _patterns(names)
        self._origins = _patterns(settings.allowed_origins)
        if settings.public_url:
            parts = urlsplit(settings.public_url)
            self._origins.append(re.compile(re.escape(f"{parts.scheme}://{parts.netloc.lower()}")))
        self._good_hosts: set[bytes] = set()

    def knows_host(self, host: bytes | None) -> bool:
        """Whether `check_host` has let this Host pass before."""
        return host in self._good_hosts

    def check_host(self, host: bytes | None) -> None:
        """Raise PermissionDenied for a Host that is not ours, InvalidRequest for none."""
        if host in self._good_hosts:
            return
        if not host:
            raise InvalidRequest("The header 'Host' is missing.")
        text = host.decode("latin-1").lower()
        if not _HOST.fullmatch(text):
            raise InvalidRequest(
                f"The header 'Host' is {text[:100]!r}; expected a name or an address, and perhaps "
                "a port, like runs.example.org:5000."
            )
        if not self._is_good_host(text):
            raise PermissionDenied(
                f"This server does not answer as {text[:100]!r}. If that is its name, start it "
                "with --allowed-hosts."
            )
        if len(self._good_hosts) >= _MAX_KNOWN:
            self._good_hosts.clear()
        self._good_hosts.add(host)

    def check_origin(self, method: str, origin: bytes, host: bytes | None) -> None:
        """Raise PermissionDenied for a change that a foreign page sends."""
        if method in _CHANGES and not self.is_good_origin(origin, host):
            text = origin.decode("latin-1")
            raise PermissionDenied(
                f"Cross-origin request blocked: pages of {text[:100]!r} may not send {method} "
                "here. If they should, start the server with --allowed-origins."
            )

    def is_good_origin(self, origin: bytes, host: bytes | None) -> bool:
        """Whether an Origin is the server itself, a local page or an allowed one."""
        text = origin.decode("latin-1").lower()
        parts = text.split("://", 1)
        if len(parts) != 2 or parts[0] not in ("http", "https"):
            return False
        if host and parts[1] == host.decode("latin-1").lower():
            return True
        match = _HOST.fullmatch(parts[1])
        if match and match[1].strip("[]") in _LOCAL_NAMES:
            return True
        return any(pattern.fullmatch(text) for pattern in self._origins)

    def _is_good_host(self, text: str) -> bool:
        match = _HOST.fullmatch(text)
        if not match:
            return False
        name = match[1].strip("[]")
        if name in _LOCAL_NAMES or _is_private(name):
            return True
        return any(p.fullmatch(text) or p.fullmatch(name) for p in self._hosts)


def check_header(name: bytes, value: bytes, before: Headers) -> None:
    """Raise InvalidRequest for a header that makes it doubtful what a request is, or for whom: a
    proxy in front of us may have taken it for another. `before` are those that came before it.
    """
    if name == b"host" and any(known == name for known, _ in before):
        raise InvalidRequest("The header 'Host' came twice; expected one (RFC 9112, section 3.2).")
    if name == b"transfer-encoding" and value.lower() != b"chunked":
        raise InvalidRequest(
            f"The header 'Transfer-Encoding' is {_shown(value)}; this server takes 'chunked' "
            "alone. Say how the content is compressed, if it is, with 'Content-Encoding'."
        )


def check_target(target: bytes, headers: Headers) -> None:
    """Raise InvalidRequest for a request that names a whole address which is not that of its Host:
    of the two, we would believe one and a proxy the other (RFC 9112, section 3.2.2).
    """
    if target == b"*":
        return
    host = next((value for name, value in headers if name == b"host"), b"")
    found = _ADDRESS.match(target)
    if found is None or found[1].lower() != host.lower():
        raise InvalidRequest(
            f"The request is for {_shown(target)}, but the header 'Host' is {_shown(host)}; "
            "expected the path alone, or the address of that host."
        )


def cross_origin_headers(origin: bytes, *more: tuple[bytes, bytes]) -> Headers:
    """What lets the page of an accepted origin read the answer; `more` says how much of it."""
    return [(b"access-control-allow-origin", origin), *more, (b"vary", b"Origin")]


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks, before it sends a page's request, if it may."""
    return method == "OPTIONS" and b"access-control-request-method" in headers


def preflight_answer(allowed: Headers, asked: Mapping[bytes, bytes]) -> tuple[Message, Message]:
    """The yes to such a question, which came with the headers `asked`; `allowed` as
    `cross_origin_headers` made it.
    """
    headers = [
        *allowed,
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    if asked_headers := asked.get(b"access-control-request-headers"):
        headers.append((b"access-control-allow-headers", asked_headers))
    return {"type": "http.response.start", "status": 200, "headers": headers}, body_of(b"")


def _shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))


def _is_private(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local


def _patterns(texts: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile(translate(text.strip().lower())) for text in texts if text.strip()]
