"""Downloads of data from any web server: streamed, with bounds on size and time.

`headrace.transport` talks to tracking servers, with their credentials; none go along here but
those in the URL itself, and these only to its own host.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from headrace.data.urls import checked_url, name_of, without_secrets
from headrace.errors import InvalidRequest, Unavailable, error_from_code
from headrace.version import VERSION

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

MAX_BYTES: Final = 10 << 30
MAX_SECONDS: Final = 3600.0
CONNECT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 60.0
"""How long a server may say nothing."""
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BLOCK: Final = 1 << 18


def stream_url(
    url: str, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS
) -> Iterator[bytes]:
    """The bytes behind a URL, as the server stores them, in pieces.

    Raises InvalidRequest for what is no http or https URL, more than `max_bytes`, or a redirection
    that leaves https; the error that a status of 400 or above stands for; Unavailable where there
    is no answer, it breaks off, or takes more than `max_seconds`.
    """
    from urllib3 import exceptions

    deadline = time.monotonic() + max_seconds
    shown = without_secrets(url)
    try:
        with _answer(url) as response:
            size = response.headers.get("Content-Length", "")
            if size.isdigit() and int(size) > max_bytes:
                raise _too_large(shown, max_bytes)
            received = 0
            while piece := response.read1(_BLOCK, decode_content=False):
                received += len(piece)
                if received > max_bytes:
                    raise _too_large(shown, max_bytes)
                if time.monotonic() > deadline:
                    raise Unavailable(f"{shown} took longer than {max_seconds:g} s.")
                yield piece
    except (exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"{shown} could not be downloaded: {_reason(error)}.") from error


def download_into(url: str, folder: str | None) -> str:
    """Download a URL into `folder`, or a new one, and give the file's path.

    The file has its name when it is whole. Raises as `stream_url` does.
    """
    folder = tempfile.mkdtemp(prefix="headrace-") if folder is None else folder
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name_of(url) or "dataset_source")
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            for piece in stream_url(url):
                file.write(piece)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)
    return path


@contextmanager
def _answer(url: str) -> Iterator[BaseHTTPResponse]:
    """The answer to a GET, after redirections, its body still to be read."""
    import urllib3

    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENT_SECONDS)
    with urllib3.PoolManager(timeout=timeout) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            response = _get(pool, url)
            try:
                if response.status not in _REDIRECTS:
                    _check_status(url, response)
                    yield response
                    return
                url = _next(url, response.headers.get("Location"))
            finally:
                response.close()
    raise InvalidRequest(f"{without_secrets(url)} redirects more than {MAX_REDIRECTS} times.")


def _get(pool: PoolManager, url: str) -> BaseHTTPResponse:
    from urllib3 import Retry
    from urllib3.util import make_headers

    parts = urlsplit(checked_url(url))
    headers = {"User-Agent": f"headrace/{VERSION}", "Accept-Encoding": "identity"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.update(make_headers(basic_auth=user))
    place = parts.netloc.rpartition("@")[2]
    plain = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
    again = Retry(total=2, connect=2, read=0, redirect=False, status=0, backoff_factor=0.5)
    return pool.request("GET", plain, headers=headers, retries=again, preload_content=False)


def _next(url: str, location: str | None) -> str:
    """Where a redirection leads, which must not be from https to http."""
    target = urljoin(url, location or "")
    if not location or (urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"):
        raise InvalidRequest(
            f"{without_secrets(url)} redirects to {without_secrets(target)!r}, which is not "
            "followed; give that URL itself if it is right."
        )
    return target


def _check_status(url: str, response: BaseHTTPResponse) -> None:
    if response.status != 200:
        message = f"{without_secrets(url)} answered HTTP {response.status}."
        raise error_from_code("", message, response.status)


def _too_large(shown: str, max_bytes: int) -> InvalidRequest:
    return InvalidRequest(
        f"{shown} has more than {max_bytes} bytes; allow more with 'max_bytes', or give its "
        "'digest' and it is not downloaded."
    )


def _reason(error: BaseException) -> str:
    """What went wrong, without the addresses of objects that urllib3 puts in front."""
    return str(error).rpartition(">: ")[2].rstrip(".)") or type(error).__name__
