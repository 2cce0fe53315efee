"""HTTP from our side: one class that talks to one server.

What it takes care of, so that nobody else has to: a pool of kept-alive connections per process
(a child after a fork gets its own), time limits, credentials, turning answers into our errors,
and sending again. A request is sent again only after a fault that passes, and only where that is
harmless: always when the server certainly did nothing (no connection, 429, 503), otherwise (the
connection broke, 408, 502, 504) only when the caller says that doing it twice is like doing it
once. Pauses double from half a second to ten, with jitter; Retry-After is honoured.

urllib3 costs 0.2 s of CPU and is imported with the first request. Credentials, and the query
strings of signed URLs, appear in no message.
"""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from headrace import settings
from headrace.errors import (
    EndpointNotFound,
    HeadraceError,
    InvalidRequest,
    Unavailable,
    error_from_code,
)
from headrace.protocol import codec
from headrace.protocol.endpoint import Endpoint
from headrace.version import VERSION

if TYPE_CHECKING:
    import urllib3
    from urllib3.response import BaseHTTPResponse

Req = TypeVar("Req")
Ans = TypeVar("Ans")
Body = bytes | Callable[[], Iterable[bytes]] | None
"""Bytes, or a function that gives them in pieces, from the start each time it is called."""

CONNECT_TIMEOUT: Final = 10.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
LONGEST_RETRY_AFTER: Final = 60.0
POOL_SIZE: Final = 32
_CHUNK: Final = 1 << 20
_DID_NOTHING: Final = frozenset({429, 503})
_PASSING: Final = frozenset({408, 429, 502, 503, 504})


class _ErrorBody(msgspec.Struct):
    error_code: str = ""
    message: str = ""


class _BrokenConnection(Exception):
    """The exchange failed below HTTP; `sent` tells whether the server may have seen it."""

    def __init__(self, reason: str, *, sent: bool, passing: bool) -> None:
        super().__init__(reason)
        self.sent = sent
        self.passing = passing


class Transport:
    """Requests to the server at `url` (http or https). Safe to use from any thread.

    Credentials come from the URL's user part, else from the settings: user name and password,
    else a token; where `anonymous`, from the URL alone. Raises InvalidRequest for a URL that is no
    server's.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        pause: Callable[[float], None] = time.sleep,
        anonymous: bool = False,
    ) -> None:
        self.url, user = _split_url(url)
        self._authorization = user or (None if anonymous else _authorization_from_settings())
        self._timeout = settings.HTTP_TIMEOUT.get_float(120.0) if timeout is None else timeout
        retries = settings.HTTP_MAX_RETRIES.get_float(5) if max_retries is None else max_retries
        self._attempts = 1 + int(retries)
        self._pause = pause
        self._pools: dict[int, urllib3.PoolManager] = {}

    def call(self, endpoint: Endpoint[Req, Ans], request: Req, *, resend: bool) -> Ans:
        """Send a call of the protocol and give its answer, or raise the error it answers."""
        path = "/api" + _fill(endpoint.path, request)
        body: bytes | None = None
        headers = {"Accept": "application/json"}
        if endpoint.method == "GET":
            path += _query(request)
        else:
            body = codec.encode(request)
            headers["Content-Type"] = "application/json"
        with self.open(endpoint.method, path, body=body, headers=headers, resend=resend) as answer:
            data = answer.data
        if data == b"200 OK":  # how MLflow's server says {} in places
            data = b""
        try:
            return codec.decode(data, endpoint.answer)
        except InvalidRequest as error:
            raise HeadraceError(
                f"{endpoint.method} {self.url}{_shown(path)} did not answer as a tracking server "
                f"does: {error.message} Is the tracking URI right?"
            ) from error

    @contextmanager
    def open(
        self,
        method: str,
        target: str,
        *,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        resend: bool = False,
        stream: bool = False,
    ) -> Iterator[BaseHTTPResponse]:
        """A successful answer to a request; with `stream` its body is read from it in pieces.

        `target` is a path on the server, or, for a URL that was signed for us, that whole URL:
        then no credentials go along. Raises the HeadraceError that an answer of 300 and above
        stands for, and Unavailable when there is none. A stream that breaks raises Unavailable.
        """
        url = target if "://" in target else self.url + target
        sent = self._headers(target, headers)
        response = self._exchange(method, url, body, sent, resend=resend, stream=stream)
        try:
            yield response
        except _network_faults() as error:
            raise Unavailable(f"{method} {_shown(url)} broke off: {_reason(error)}.") from error
        finally:
            # A body read to its end has given its connection back; any other must not.
            response.close()

    def close(self) -> None:
        """Close the connections of this process."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.clear()

    def _headers(self, target: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = {"User-Agent": f"headrace/{VERSION}", **(headers or {})}
        if self._authorization and "://" not in target:
            sent["Authorization"] = self._authorization
        return sent

    def _exchange(
        self,
        method: str,
        url: str,
        body: Body,
        headers: dict[str, str],
        *,
        resend: bool,
        stream: bool,
    ) -> BaseHTTPResponse:
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= self._attempts
            try:
                response = self._once(method, url, body, headers, stream)
            except _BrokenConnection as fault:
                if last or not fault.passing or (fault.sent and not resend):
                    raise Unavailable(
                        f"{method} {_shown(url)} got no answer: {fault}"
                        f"{_times(attempt)}. Is the server up, and the address right?"
                    ) from fault.__cause__
                self._pause(_backoff(attempt))
                continue
            if response.status < 300:
                return response
            data = response.read() if stream else response.data
            response.release_conn()
            may_resend = response.status in _PASSING and (resend or response.status in _DID_NOTHING)
            if last or not may_resend:
                raise _error_of(method, url, response, data)
            self._pause(_retry_after(response.headers.get("Retry-After"), attempt))

    def _once(
        self, method: str, url: str, body: Body, headers: dict[str, str], stream: bool
    ) -> BaseHTTPResponse:
        from urllib3 import exceptions

        content = body() if callable(body) else body
        try:
            return self._pool().request(
                method,
                url,
                body=cast("Any", content),
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=not stream,
                decode_content=True,
            )
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError) as error:
            raise _BrokenConnection(_reason(error), sent=False, passing=True) from error
        except exceptions.ReadTimeoutError as error:
            reason = f"no answer within {self._timeout:g} s"
            raise _BrokenConnection(reason, sent=True, passing=False) from error
        except (exceptions.SSLError, exceptions.LocationValueError) as error:
            raise _BrokenConnection(_reason(error), sent=False, passing=False) from error
        except exceptions.HTTPError as error:
            raise _BrokenConnection(_reason(error), sent=True, passing=True) from error
        except OSError as error:
            raise _BrokenConnection(_reason(error), sent=True, passing=True) from error

    def _pool(self) -> urllib3.PoolManager:
        """The connections of this process: a forked child must not write to its parent's."""
        pool = self._pools.get(os.getpid())
        if pool is None:
            import urllib3

            timeout = urllib3.Timeout(
                connect=min(CONNECT_TIMEOUT, self._timeout), read=self._timeout
            )
            made = urllib3.PoolManager(maxsize=POOL_SIZE, timeout=timeout, blocksize=_CHUNK)
            pool = self._pools.setdefault(os.getpid(), made)
        return pool


def _split_url(url: str) -> tuple[str, str | None]:
    """The URL without its user part and trailing slash; and the Authorization of that part."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest("The tracking URI is not a URL: check its host and port.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(
            f"{parts.scheme or 'This'} is not the URL of a server: expected http://… or https://…."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    user = None
    if parts.username is not None:
        user = _basic(unquote(parts.username), unquote(parts.password or ""))
    return place + parts.path.rstrip("/"), user


def _authorization_from_settings() -> str | None:
    name = settings.TRACKING_USERNAME.get()
    password = settings.TRACKING_PASSWORD.get()
    if name and password:
        return _basic(name, password)
    token = settings.TRACKING_TOKEN.get()
    if token is None:
        return None
    if not (token.isascii() and token.isprintable()):
        raise InvalidRequest(
            f"{settings.TRACKING_TOKEN.names[0]} holds characters that no token has; "
            "look for a stray line break."
        )
    return f"Bearer {token}"


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _fill(path: str, request: Any) -> str:
    """The path with each part in braces replaced by that field of the request."""
    if "{" not in path:
        return path
    parts = [
        quote(str(getattr(request, part[1:-1])), safe="") if part.startswith("{") else part
        for part in path.split("/")
    ]
    return "/".join(parts)


def _query(request: Any) -> str:
    pairs: list[tuple[str, str]] = []
    for key, value in msgspec.to_builtins(request).items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                pairs.append((key, str(item).lower() if isinstance(item, bool) else str(item)))
    return "?" + urlencode(pairs) if pairs else ""


def _error_of(method: str, url: str, response: BaseHTTPResponse, data: bytes) -> HeadraceError:
    try:
        body = msgspec.json.decode(data, type=_ErrorBody)
    except msgspec.DecodeError:
        body = _ErrorBody()
    if body.message or body.error_code:
        return error_from_code(body.error_code, body.message, response.status)
    said = " ".join(data[:300].decode("utf-8", "replace").split())
    where = response.headers.get("Location")
    if where:
        said = f"it points to {_shown(where)}; use that address"
    message = f"{method} {_shown(url)} answered HTTP {response.status}"
    # A tracking server says what it does not have: this one has no such address.
    code = EndpointNotFound.error_code if response.status == HTTPStatus.NOT_FOUND else ""
    return error_from_code(code, f"{message}: {said}" if said else f"{message}.", response.status)


def _shown(url: str) -> str:
    """A URL or path as it may be shown: a query string can hold a signature."""
    return url.partition("?")[0]


def _reason(error: BaseException) -> str:
    """What went wrong, without the addresses of objects that urllib3 puts in front."""
    cause = error.__cause__ or error.__context__ or error
    text = str(cause if isinstance(cause, OSError) else error)
    return text.rpartition(">: ")[2].rstrip(".") or type(error).__name__


def _times(attempts: int) -> str:
    return f" ({attempts} attempts)" if attempts > 1 else ""


def _network_faults() -> tuple[type[BaseException], ...]:
    from urllib3 import exceptions

    return (exceptions.HTTPError, ConnectionError)


def _backoff(attempt: int) -> float:
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  (spreads clients, guards nothing)


def _retry_after(text: str | None, attempt: int) -> float:
    """The pause that Retry-After asks for, in seconds or as a date; else the usual one."""
    seconds = -1.0
    if text and text.strip().isdigit():
        seconds = float(text)
    elif text:
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError):
            seconds = -1.0
    if seconds < 0:
        return _backoff(attempt)
    return min(seconds, LONGEST_RETRY_AFTER)
