"""Data behind URLs: streamed, bounded, and without a secret in what is written down."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace.data import from_url, get_source
from headrace.errors import InvalidRequest, NotFound, PermissionDenied, Unavailable

CONTENT = b"a,b\n" * 500_000


class DataServer(ThreadingHTTPServer):
    """Answers by path; `seen` are the paths and the credentials that came with them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.enough = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Silent where a client has gone away, which some of these tests do."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DataServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.seen.append((path, self.headers["Authorization"]))
        if path.startswith("/to/"):
            self._head(302, 0, ("Location", self.path[3:]))
        elif path == "/round":
            self._head(302, 0, ("Location", "/round"))
        elif path == "/elsewhere":
            self._head(302, 0, ("Location", "ftp://example.org/data"))
        elif path == "/chunked":
            self._chunks()
        elif path == "/cut":
            self._head(200, len(CONTENT) + 1)
            self.wfile.write(CONTENT)
            self.close_connection = True
        elif path == "/endless":
            self._endless()
        elif path == "/private" and not self.headers["Authorization"]:
            self._head(403, 0)
        elif path in ("/data.csv", "/private"):
            self._head(200, len(CONTENT), ("Content-Encoding", "gzip"))
            self.wfile.write(CONTENT)
        else:
            self._head(404, 0)

    def _head(self, status: int, length: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for header in headers:
            self.send_header(*header)
        self.end_headers()

    def _chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(CONTENT), 300_000):
            piece = CONTENT[start : start + 300_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            while not self.server.enough.is_set():
                self.wfile.write(CONTENT)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[DataServer]:
    with DataServer() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.enough.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/data.csv", "/chunked", "/to/to/data.csv"])
def test_the_digest_is_that_of_the_file(server: DataServer, path: str) -> None:
    dataset = from_url(server.url + path)
    assert dataset.digest == hashlib.sha256(CONTENT).hexdigest()[:32]
    assert dataset.profile == {"profile_version": 1, "num_files": 1, "num_bytes": len(CONTENT)}
    assert (dataset.name, dataset.source_type) == (path.rpartition("/")[2], "http")
    assert dataset.source.to_dict() == {"url": server.url + path}


def test_with_a_digest_nothing_is_downloaded(server: DataServer) -> None:
    dataset = from_url(f"{server.url}/data.csv", digest="v1", name="mine")
    assert (dataset.digest, dataset.name, server.seen) == ("v1", "mine", [])
    assert dataset.profile == {"profile_version": 1}


def test_the_source_can_be_downloaded(server: DataServer, tmp_path: Path) -> None:
    source = get_source(from_url(f"{server.url}/data.csv", digest="v1"))
    path = Path(source.load(str(tmp_path / "new")))
    assert (path.name, path.read_bytes()) == ("data.csv", CONTENT)
    assert [each.name for each in path.parent.iterdir()] == ["data.csv"]


def test_a_broken_download_leaves_nothing(server: DataServer, tmp_path: Path) -> None:
    source = get_source(from_url(f"{server.url}/cut", digest="v1"))
    with pytest.raises(Unavailable):
        source.load(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_credentials_are_used_and_not_written(server: DataServer) -> None:
    url = f"http://me:pass%40word@127.0.0.1:{server.server_port}/private?v=1&X-Amz-Signature=abc"
    dataset = from_url(url)
    token = base64.b64encode(b"me:pass@word").decode()
    assert server.seen == [("/private", f"Basic {token}")]
    assert dataset.url == f"{server.url}/private?v=1&X-Amz-Signature=HIDDEN"
    written = dataset.to_json() + repr(dataset)
    assert "word" not in written
    assert "abc" not in written
    assert "me:" not in written


def test_credentials_of_tracking_do_not_go_along(
    server: DataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TRACKING_TOKEN", "mine")
    from_url(f"{server.url}/data.csv")
    assert server.seen == [("/data.csv", None)]


@pytest.mark.parametrize("path", ["/data.csv", "/chunked", "/endless"])
def test_more_than_is_allowed_is_refused(server: DataServer, path: str) -> None:
    with pytest.raises(InvalidRequest, match=r"more than 1000 bytes.*'max_bytes'"):
        from_url(server.url + path, max_bytes=1000)


def test_no_more_time_than_is_allowed(server: DataServer) -> None:
    with pytest.raises(Unavailable, match="longer than 0 s"):
        from_url(f"{server.url}/endless", max_seconds=0)


@pytest.mark.parametrize(
    ("path", "family", "message"),
    [
        ("/gone", NotFound, "/gone answered HTTP 404"),
        ("/private", PermissionDenied, "/private answered HTTP 403"),
        ("/round", InvalidRequest, "redirects more than 5 times"),
        ("/elsewhere", InvalidRequest, "ftp://example.org/data"),
        ("/cut", Unavailable, "could not be downloaded"),
    ],
)
def test_faults_are_told(
    server: DataServer, path: str, family: type[Exception], message: str
) -> None:
    with pytest.raises(family, match=message):
        from_url(server.url + path)


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "data.csv", "http://", "", 3])
def test_only_web_urls_are_taken(url: Any) -> None:
    with pytest.raises(InvalidRequest, match="'url'"):
        from_url(url)


def test_a_server_that_is_not_there_is_told(free_port: int) -> None:
    with pytest.raises(Unavailable, match=f"127.0.0.1:{free_port}/x could not be downloaded"):
        from_url(f"http://127.0.0.1:{free_port}/x")
